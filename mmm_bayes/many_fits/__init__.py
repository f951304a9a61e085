"""Many tables and models, fitted side by side with one result each."""
