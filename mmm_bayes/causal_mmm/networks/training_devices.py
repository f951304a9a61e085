r"""Training on several devices: shops of each step are distributed, parameters replicated.

Each device computes the loss and the gradient of its own shops, and gradients are summed over
devices once per step. (This uses ``jax.shard_map``, since XLA's automatic partitioner sums at every
time step of a recurrent decoder.) Otherwise everything is as on one device: every device draws the
edges of all shops of a batch from the same key and uses those of its own shops; terms that belong
to no single shop (priors of mechanisms) are divided by the number of devices. Losses and parameters
equal those of one device up to the order of summation.

If the number of devices does not divide a batch, it is padded with copies of shops of weight zero.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpyro.infer import SVI
from numpyro.primitives import Messenger

from mmm_bayes.causal_mmm.networks.gumbel import GumbelSoftmaxEdges
from mmm_bayes.inference.sharding import Devices, chosen_devices, process_number
from mmm_bayes.runtime.run_folder import RunFolderError

Array = jax.Array
NDArray = np.ndarray[Any, Any]

_AXIS = "shop"
_REPLICATED = PartitionSpec()


@dataclass(frozen=True)
class Placement:
    """Devices of a training; without a mesh, JAX's default device."""

    mesh: Mesh | None = None

    @property
    def count(self) -> int:
        """Number of devices."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def several_processes(self) -> bool:
        """Whether other processes take part in the training."""
        return self.mesh is not None and len(_processes(self.mesh)) > 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that reads and writes files."""
        return not self.several_processes or process_number() == 0

    def everywhere(self, tree: Any, settings: str = "") -> Any:
        """Replicate arrays and random keys to every device.

        Parameters
        ----------
        tree
            Complete arrays of this process.
        settings
            Anything else that has to be equal in all processes.

        Raises
        ------
        ValueError
            If arrays or settings differ between processes.
        """
        if self.mesh is None:
            return tree
        if not self.several_processes:
            return jax.device_put(tree, NamedSharding(self.mesh, _REPLICATED))
        _require_alike(tree, settings)
        return jax.tree.map(self._put, tree)

    def _put(self, leaf: Any) -> Any:
        if not is_key(leaf):
            return self.passed(leaf)
        words = self.passed(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))

    def passed(self, array: Any) -> Any:
        """Replicate an array that is known to be equal in all processes."""
        if self.mesh is None:
            return jnp.asarray(array)
        sharding = NamedSharding(self.mesh, _REPLICATED)
        return jax.make_array_from_process_local_data(sharding, np.asarray(array))

    def here(self, tree: Any) -> Any:
        """Copy replicated arrays to the default device."""
        if self.mesh is None:
            return tree
        return jax.tree.map(lambda x: jnp.asarray(np.asarray(x.addressable_data(0))), tree)

    def padded(self, positions: NDArray) -> NDArray:
        """Pad positions (..., shop), by repeating them, to a multiple of the number of devices."""
        size = positions.shape[-1]
        whole = -(-size // self.count) * self.count
        return positions[..., np.resize(np.arange(size), whole)]

    def from_leader(self, call: Callable[[], bytes]) -> bytes:
        """Make a call in the leading process, and return its result, or raise, in all processes.

        Raises
        ------
        RunFolderError
            In the other processes, if the call raised.
        """
        if not self.several_processes:
            return call()
        from jax.experimental import multihost_utils

        failed: Exception | None = None
        content = b""
        if self.leads:
            try:
                content = call()
            except Exception as error:
                failed, content = error, str(error).encode()
        head = np.array([len(content), failed is not None], np.int32)
        size, bad = (int(x) for x in multihost_utils.broadcast_one_to_all(head, self.leads))
        if size:
            body = np.zeros(size, np.uint8)
            if self.leads:
                body[:] = np.frombuffer(content, np.uint8)
            content = bytes(np.asarray(multihost_utils.broadcast_one_to_all(body, self.leads)))
        if failed is not None:
            raise failed
        if bad:
            raise RunFolderError(content.decode())
        return content

    def optimiser(self, steps: Any) -> Any:
        """Wrap an optimiser so that it sums gradients over devices."""
        if self.mesh is None:
            return steps
        summed = optax.stateless(lambda updates, params: jax.lax.psum(updates, _AXIS))
        return optax.chain(summed, steps)

    def of_own_shops(self, svi: SVI, size: int) -> SVI:
        """Wrap an inference so that it runs on a device's part of a batch of ``size`` shops."""
        if self.mesh is None:
            return svi
        share = functools.partial(
            _OwnShops, size=size, each=-(-size // self.count), devices=self.count
        )
        result = SVI(share(svi.model), share(svi.guide), svi.optim, svi.loss)
        result.constrain_fn = svi.constrain_fn
        return result

    def shared_out(self, function: Callable[..., Any], at: int) -> Callable[..., Any]:
        """Wrap a function to run on all devices, with its argument ``at`` (..., shop) distributed.

        All other arguments are replicated, and results must be equal on all devices.
        """
        if self.mesh is None:
            return function
        mesh = self.mesh

        def run(*arguments: Any) -> Any:
            leading = arguments[at].ndim - 1
            specs = [_REPLICATED] * len(arguments)
            specs[at] = PartitionSpec(*[None] * leading, _AXIS)
            return jax.shard_map(
                function,
                mesh=mesh,
                in_specs=tuple(specs),
                out_specs=_REPLICATED,
                check_vma=False,  # the guide's handlers do not support it
            )(*arguments)

        return run

    def total(self, value: Array) -> Array:
        """Sum a value over devices, inside :meth:`shared_out`."""
        return value if self.mesh is None else jax.lax.psum(value, _AXIS)


def placement_of(devices: Devices) -> Placement:
    """Resolve a choice of devices; ``None`` leaves the choice to JAX.

    Raises
    ------
    ValueError
        If there are no such devices, or if they belong to several processes, but not to all.
    """
    if devices is None:
        return Placement()
    chosen = chosen_devices(devices)
    mesh = Mesh(np.array(chosen), (_AXIS,))
    owners, own = _processes(mesh), process_number()
    if own not in owners or (len(owners) > 1 and len(owners) < jax.process_count()):
        raise ValueError(
            f"devices should belong to this process ({own}) only, or to all "
            f"{jax.process_count()} processes, but belong to {sorted(owners)}. Use devices='all', "
            "or jax.local_devices()."
        )
    return Placement(mesh)


def _processes(mesh: Mesh) -> set[int]:
    return {device.process_index for device in mesh.devices.flat}


def is_key(leaf: Any) -> bool:
    """Tell whether an array holds random keys."""
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def plain(leaf: Any) -> NDArray:
    """Convert an array to NumPy; random keys become their words."""
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def _require_alike(tree: Any, settings: str) -> None:
    from jax.experimental import multihost_utils

    found = hashlib.sha256(settings.encode())
    for leaf in map(plain, jax.tree.leaves(tree)):
        found.update(f"{leaf.dtype}{leaf.shape}".encode() + leaf.tobytes())
    own = np.frombuffer(found.digest(), np.int32)
    each = np.asarray(multihost_utils.process_allgather(own))
    if (each != each[0]).any():
        raise ValueError(
            "All processes of a training should be called with the same panel, key and settings, "
            f"but those of process {process_number()} differ from others."
        )


class _OwnEdges(dist.Distribution):
    """Edges of a device's shops, selected from a draw for the whole batch to get the same noise."""

    support = GumbelSoftmaxEdges.support

    def __init__(self, own: GumbelSoftmaxEdges, first: Array, size: int, filled: int) -> None:
        self.own, self.first, self.size, self.filled = own, first, size, filled
        super().__init__(own.batch_shape, own.event_shape)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw edges (sample_shape, ...)."""
        own, axis = self.own, len(sample_shape)
        each = own.logits.shape[0]
        logits = jnp.zeros((self.filled, *own.logits.shape[1:]), own.logits.dtype)
        logits = jax.lax.dynamic_update_slice_in_dim(logits, own.logits, self.first, 0)
        batch = GumbelSoftmaxEdges(logits[: self.size], own.temperature, own.straight_through)
        drawn = batch.sample(key, sample_shape)
        rest = [(0, 0)] * drawn.ndim
        rest[axis] = (0, self.filled - self.size)
        return jax.lax.dynamic_slice_in_dim(jnp.pad(drawn, rest), self.first, each, axis)

    def rsample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw edges with gradients."""
        return self.sample(key, sample_shape)

    def log_prob(self, value: Array) -> Array:
        """Return zero, as :class:`GumbelSoftmaxEdges` does."""
        return self.own.log_prob(value)


class _OwnShops(Messenger):
    """Handler that gives padding shops weight zero, and draws edges for the whole batch."""

    def __init__(self, fn: Callable[..., None], size: int, each: int, devices: int) -> None:
        super().__init__(fn)
        self.size, self.each, self.filled = size, each, each * devices

    def process_message(self, msg: dict[str, Any]) -> None:
        """Scale a site over shops, and replace the distribution of edges."""
        if msg["type"] != "sample" or all(f.name != _AXIS for f in msg["cond_indep_stack"]):
            return
        first = self.each * jax.lax.axis_index(_AXIS)
        weight = (first + jnp.arange(self.each) < self.size).astype(jnp.float32)
        msg["scale"] = weight if msg["scale"] is None else weight * msg["scale"]
        base = getattr(msg["fn"], "base_dist", None)
        if isinstance(base, GumbelSoftmaxEdges):
            own = _OwnEdges(base, first, self.size, self.filled)
            msg["fn"] = own.to_event(msg["fn"].event_dim)
