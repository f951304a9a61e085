"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  /* ---------------------------------------------------------------- numbers */
  const MINUS = "\u2212";
  const compact = (value, digits = 3) => {
    if (!Number.isFinite(value)) return "n/a";
    const size = Math.abs(value);
    for (const [limit, suffix] of [[1e9, "bn"], [1e6, "M"], [1e3, "k"]]) {
      if (Number(size.toPrecision(digits)) >= limit) {
        return `${Number((value / limit).toPrecision(digits))}${suffix}`.replace("-", MINUS);
      }
    }
    return `${Number(value.toPrecision(digits))}`.replace("-", MINUS);
  };
  const signed = (value, digits) => (value > 0 ? "+" : "") + compact(value, digits);
  const ratio = (value) => value.toFixed(2).replace("-", MINUS);
  const percent = (value) => `${Math.round(100 * value)}%`;
  const chance = (p) => (p > 0.99 ? "over 99%" : p < 0.01 ? "under 1%" : percent(p));

  /* ---------------------------------------------------------------- theme */
  const theme = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const button = $("theme");
  const nameTheme = () => { button.textContent = theme() === "dark" ? "Light colours" : "Dark colours"; };
  button.hidden = false;
  nameTheme();
  button.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    nameTheme();
    redraw();
  });
  dark.addEventListener("change", () => { if (!root.dataset.theme) { nameTheme(); redraw(); } });

  /* ---------------------------------------------------------------- figures */
  const figures = JSON.parse($("figures").textContent);
  const chosen = {};
  const property = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const colour = (token) => {
    const [name, opacity] = token.slice(1).split("/");
    const hex = property(name);
    if (opacity === undefined) return hex;
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    return `rgba(${r},${g},${b},${opacity})`;
  };
  /* A copy with tokens in place of colours resolved. */
  const resolved = (value, key = "") => {
    if (Array.isArray(value)) return value.map((own) => resolved(own, key));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v, k)]));
    }
    return /color$/i.test(key) && typeof value === "string" && value.startsWith("@") ? colour(value) : value;
  };
  const narrow = () => root.clientWidth < 640;
  const prepared = (key) => {
    const { height, figures: choices } = figures[key];
    const figure = resolved(choices[chosen[key] ?? 0]);
    const text = { color: property("muted"), family: getComputedStyle(document.body).fontFamily, size: 12 };
    const layout = {
      ...figure.layout, height, autosize: true, font: text, separators: ".,", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: property("surface"), bordercolor: property("faint"), font: { ...text, color: property("ink") } },
    };
    for (const name of Object.keys(layout).filter((own) => /^[xy]axis/.test(own))) {
      layout[name] = {
        gridcolor: property("grid"), zerolinecolor: property("faint"), linecolor: property("rule"),
        fixedrange: true, ...layout[name],
      };
      if (/^yaxis/.test(name) && narrow() && layout[name].ticktext) {
        layout[name].ticktext = layout[name].ticktext.map((own) => (own.length > 14 ? `${own.slice(0, 13)}\u2026` : own));
      }
    }
    if (narrow() && layout.hovermode === "x unified") layout.hovermode = "x";
    if (printing) { layout.autosize = false; layout.width = $(key).clientWidth; }
    return { data: figure.data, layout };
  };
  const draw = (key) => {
    const { data, layout } = prepared(key);
    const config = { responsive: true, displayModeBar: false, plotlyServerURL: "", showLink: false, doubleClick: false };
    return Plotly.react($(key), data, layout, config);
  };
  let drawn = false;
  const redraw = () => { if (drawn) Object.keys(figures).forEach(draw); paintDots(); };
  for (const select of document.querySelectorAll("select[data-chart]")) {
    select.addEventListener("change", () => {
      chosen[select.dataset.chart] = Number(select.value);
      if (drawn) draw(select.dataset.chart);
    });
  }
  const pause = () => new Promise((done) => { setTimeout(done, 0); });
  const start = async () => {
    try {
      const packed = Uint8Array.from(atob($("plotly").textContent.trim()), (sign) => sign.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
      $("plotly").remove();
      for (const key of Object.keys(figures)) { await draw(key); await pause(); }
      drawn = true;
      root.dataset.charts = "drawn";
    } catch (error) {
      $("no-charts").textContent = "This browser cannot draw the charts; the tables below them hold the same "
        + `numbers. (${error.message})`;
      $("no-charts").hidden = false;
      for (const place of document.querySelectorAll(".plot")) place.hidden = true;
      root.dataset.charts = "failed";
    }
  };

  /* ---------------------------------------------------------------- contents and print */
  if (root.clientWidth < 960) $("contents").open = false;
  const links = new Map([...document.querySelectorAll("nav a")].map((own) => [own.hash.slice(1), own]));
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const own of links.values()) own.removeAttribute("aria-current");
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  for (const section of document.querySelectorAll("main > section")) watcher.observe(section);

  let opened = [], before;
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.short:not([open]), details.reading:not([open])")];
    for (const own of opened) own.open = true;
    before = root.dataset.theme;
    root.dataset.theme = "light";
    printing = true;
    redraw();
  });
  addEventListener("afterprint", () => {
    for (const own of opened) own.open = false;
    if (before === undefined) delete root.dataset.theme; else root.dataset.theme = before;
    printing = false;
    redraw();
  });

  /* ---------------------------------------------------------------- planner */
  const paintDots = () => {
    for (const dot of document.querySelectorAll("[data-dot]")) dot.style.background = property(dot.dataset.colour ?? "model");
  };
  const planner = () => {
    const values = JSON.parse($("plan-values").textContent);
    const surface = MMMPlanner.load(values, $("plan-curves").textContent);
    const { spend, most, prob, price, recommended, seen } = values;
    const level = `${percent(prob)} interval`;
    const rows = [...document.querySelectorAll(".channel")];
    const part = (c, selector) => rows[c].querySelector(selector);
    const ones = spend.map(() => 1);
    let multiples = ones.slice(), base = ones.slice(), sum = spend.reduce((a, b) => a + b, 0), timer;

    const put = (element, text, found) => {
      element.textContent = text;
      for (const name of ["median", "lower", "upper"]) {
        if (found) element.dataset[name] = found[name]; else delete element.dataset[name];
      }
    };
    const interval = ({ lower, upper }, write) => `${write(lower)} to ${write(upper)}`;
    const unchanged = () => multiples.every((m) => Math.abs(m - 1) < 1e-9);
    const spent = () => multiples.reduce((a, m, c) => a + m * spend[c], 0);
    const round = (value) => Number(value.toPrecision(6));

    const show = (skip) => {
      const found = MMMPlanner.evaluate(surface, multiples);
      const money = spent(), todays = spend.reduce((a, b) => a + b, 0);
      put($("plan-spend"), compact(money, 4));
      $("plan-spend").dataset.value = money;
      const more = money / todays - 1;
      $("plan-spend-more").textContent = Math.abs(more) < 5e-5 ? "as today"
        : `${more > 0 ? "+" : MINUS}${Math.abs(100 * more).toFixed(1)}% of today's ${compact(todays, 4)}`;
      const scaled = (draws) => MMMPlanner.summary(draws.map((x) => x / price), prob);
      const outcome = scaled(found.total);
      put($("plan-outcome"), compact(outcome.median, 4), outcome);
      $("plan-outcome-more").textContent = `${interval(outcome, (x) => compact(x, 4))} (${level})`;
      const rise = found.total.map((x, d) => x - found.before[d]);
      const change = scaled(rise);
      put($("plan-change"), unchanged() ? "none" : signed(change.median), change);
      $("plan-change-more").textContent = unchanged() ? "the plan is today's" : `${interval(change, signed)} (${level})`;
      const better = rise.reduce((a, x) => a + (x > 0), 0) / rise.length;
      put($("plan-better"), unchanged() ? "\u2013" : chance(better));
      $("plan-better").dataset.value = better;
      const extra = money - todays;
      const pays = rise.reduce((a, x) => a + (x > extra), 0) / rise.length;
      $("plan-better-more").textContent = unchanged() || Math.abs(more) < 5e-5 ? ""
        : `revenue less spend: ${chance(pays)}`;
      const whole = MMMPlanner.summary(found.media.map((x) => x / money), prob);
      put($("plan-roas"), money > 0 ? ratio(whole.median) : "n/a", whole);
      $("plan-roas-more").textContent = money > 0 ? `${interval(whole, ratio)} (${level})` : "";
      $("plan-bar").textContent = unchanged() ? `Spend ${compact(money, 4)}, as today`
        : `Spend ${compact(money, 4)} \u00b7 change ${signed(change.median)} \u00b7 better: ${chance(better)}`;
      found.channels.forEach(({ brings, marginal }, c) => {
        const m = multiples[c], own = scaled(brings);
        const range = part(c, "input[type=range]"), entry = part(c, "input[type=number]");
        range.value = Math.round(100 * m);
        range.setAttribute("aria-valuetext", `${Math.round(100 * m)}% of today's, ${compact(m * spend[c], 4)}`);
        if (entry !== skip) entry.value = round(m * spend[c]);
        rows[c].dataset.multiple = m;
        part(c, ".share").textContent = percent(m);
        put(part(c, ".brings"), `${compact(own.median)} (${interval(own, compact)})`, own);
        const returned = MMMPlanner.summary(brings.map((x) => x / (m * spend[c])), prob);
        put(part(c, ".roas"), m > 0 ? `${ratio(returned.median)} (${interval(returned, ratio)})` : "n/a", m > 0 ? returned : null);
        const next = MMMPlanner.summary(marginal, prob);
        put(part(c, ".marginal"), `${ratio(next.median)} (${interval(next, ratio)})`, next);
        const beyond = part(c, ".beyond");
        beyond.hidden = m <= seen[c][1] && (m >= seen[c][0] || Math.abs(m - 1) < 1e-9);
        beyond.textContent = m > seen[c][1]
          ? `An average ${values.period} would then have a spend that hardly any ${values.period} had: the curve is a guess there.`
          : `Below what almost every ${values.period} with spend had: the curve is a guess there.`;
      });
      clearTimeout(timer);
      timer = setTimeout(() => {
        $("plan-live").textContent = `Spend ${compact(money, 4)}. ${values.outcome} ${compact(outcome.median, 4)}, `
          + (unchanged() ? "as today." : `change ${signed(change.median)}, ${interval(change, signed)}; `
            + `better than today with probability ${chance(better)}.`);
      }, 700);
      return found;
    };

    const move = (c, wanted, skip) => {
      const status = $("plan-status");
      status.hidden = true;
      const m = Math.min(Math.max(wanted, 0), most);
      if ($("plan-keep").checked) {
        const held = rows.map((row) => row.querySelector(".hold").checked);
        multiples = MMMPlanner.keepTotal(spend, most, multiples, base, held, c, m, sum);
        if (Math.abs(multiples[c] - m) > 1e-6) {
          status.textContent = `${values.channels[c]} goes no further: the other channels, those not held, can give or take no more.`;
          status.hidden = false;
        }
      } else multiples[c] = m;
      base[c] = multiples[c];
      show(skip);
    };
    const set = (next) => {
      multiples = next.slice();
      base = next.slice();
      sum = spent();
      $("plan-status").hidden = true;
      show();
    };

    rows.forEach((row, c) => {
      const range = part(c, "input[type=range]"), entry = part(c, "input[type=number]");
      range.max = Math.round(100 * most);
      part(c, ".dot").dataset.colour = `c${values.colours[c]}`;
      const marks = part(c, ".marks");
      const mark = (m, name) => {
        const own = document.createElement("span");
        own.textContent = name;
        own.style.left = `calc(8px + (100% - 16px) * ${m / most})`;
        marks.append(own);
      };
      if (!recommended || Math.abs(recommended[c] - 1) > 0.2 * most) mark(1, "today");
      else mark(1, "");
      if (recommended) mark(Math.min(Math.max(recommended[c], 0.07 * most), 0.86 * most), "recommended");
      range.addEventListener("input", () => move(c, Number(range.value) / 100));
      entry.addEventListener("input", () => {
        const wanted = Number(entry.value);
        if (entry.value !== "" && Number.isFinite(wanted) && wanted >= 0) move(c, wanted / spend[c], entry);
      });
      entry.addEventListener("change", () => show());
    });
    $("plan-keep").addEventListener("change", () => { sum = spent(); base = multiples.slice(); });
    $("plan-reset").addEventListener("click", () => set(ones));
    $("plan-recommended").hidden = !recommended;
    $("plan-recommended").addEventListener("click", () => set(recommended.map((m) => Math.min(m, most))));
    $("plan-export").addEventListener("click", () => {
      const found = MMMPlanner.evaluate(surface, multiples);
      const safe = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
      const lines = ["channel,spend_today,spend_plan,multiple,brings_median,brings_lower,brings_upper,"
        + "marginal_roas_median,marginal_roas_lower,marginal_roas_upper"];
      found.channels.forEach(({ brings, marginal }, c) => {
        const own = MMMPlanner.summary(brings.map((x) => x / price), prob);
        const next = MMMPlanner.summary(marginal, prob);
        lines.push([safe(values.channels[c]), spend[c], multiples[c] * spend[c], multiples[c],
          own.median, own.lower, own.upper, next.median, next.lower, next.upper].join(","));
      });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
      link.download = "budget.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    $("plan-outcome-name").textContent = `${values.outcome}, expected`;
    $("planner").hidden = false;
    show();
  };
  if ($("plan-values")) planner();
  paintDots();
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
