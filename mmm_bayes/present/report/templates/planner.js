"use strict";
/* What any budget brings, from curves of a thinned posterior. No part of this needs the page. */
const MMMPlanner = (() => {
  const decode = (text) => {
    const raw = atob(text.trim());
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
    return bytes.buffer;
  };

  /* Slopes of monotone cubics through points one apart (Hyman 1983). */
  const slopes = (y, first, count, out) => {
    const at = (i) => y[first + i], last = count - 1;
    for (let i = 0; i < count; i += 1) {
      const before = i > 0 ? at(i) - at(i - 1) : at(1) - at(0);
      const after = i < last ? at(i + 1) - at(i) : at(last) - at(last - 1);
      let m = 0;
      if (i === 0) m = (-11 * at(0) + 18 * at(1) - 9 * at(2) + 2 * at(3)) / 6;
      else if (i === 1) m = (-2 * at(0) - 3 * at(1) + 6 * at(2) - at(3)) / 6;
      else if (i === last - 1) m = (2 * at(last) + 3 * at(last - 1) - 6 * at(last - 2) + at(last - 3)) / 6;
      else if (i === last) m = (11 * at(last) - 18 * at(last - 1) + 9 * at(last - 2) - 2 * at(last - 3)) / 6;
      else m = (at(i - 2) - 8 * at(i - 1) + 8 * at(i + 1) - at(i + 2)) / 12;
      const way = Math.sign(before), limit = 3 * Math.min(Math.abs(before), Math.abs(after));
      out[first + i] = before * after > 0 ? way * Math.min(Math.max(way * m, 0), limit) : 0;
    }
  };

  const load = (values, text) => {
    const { draws, channels, groups, points } = values.shape;
    const buffer = decode(text);
    const weights = new Float32Array(buffer, 0, draws * groups);
    const curves = draws * channels * groups;
    const ranges = new Float32Array(buffer, 4 * draws * groups, 2 * curves);
    const levels = new Int16Array(buffer, 4 * draws * groups + 8 * curves, curves * points);
    const y = new Float64Array(curves * points), m = new Float64Array(curves * points);
    for (let k = 0; k < curves; k += 1) {
      for (let p = 0; p < points; p += 1) {
        y[k * points + p] = ranges[2 * k] + ranges[2 * k + 1] * (levels[k * points + p] / 32767) ** 3;
      }
      slopes(y, k * points, points, m);
    }
    return { ...values, draws, count: channels, groups, points, weights, y, m };
  };

  /* One channel's curve (draw, group) at a multiple of its spend. */
  const curve = (s, channel, multiple) => {
    const u = Math.cbrt(Math.min(Math.max(multiple / s.reach, 0), 1)) * (s.points - 1);
    const i = Math.min(Math.floor(u), s.points - 2), t = u - i;
    const a = (1 + 2 * t) * (1 - t) * (1 - t), b = t * (1 - t) * (1 - t);
    const c = t * t * (3 - 2 * t), e = t * t * (t - 1);
    const out = new Float64Array(s.draws * s.groups);
    for (let d = 0; d < s.draws; d += 1) {
      for (let g = 0; g < s.groups; g += 1) {
        const k = ((d * s.count + channel) * s.groups + g) * s.points + i;
        out[d * s.groups + g] = a * s.y[k] + b * s.m[k] + c * s.y[k + 1] + e * s.m[k + 1];
      }
    }
    return out;
  };

  /* Revenue (draw) of curves by channel; `today` are those at multiples of one. */
  const total = (s, today, now) => {
    const out = new Float64Array(s.draws);
    for (let d = 0; d < s.draws; d += 1) {
      for (let g = 0; g < s.groups; g += 1) {
        const k = d * s.groups + g;
        let value = s.weights[k];
        for (let c = 0; c < s.count; c += 1) {
          if (s.additive) value += now[c][k] - today[c][k];
          else value *= now[c][k];
        }
        out[d] += value;
      }
    }
    return out;
  };

  const minus = (a, b) => a.map((x, i) => x - b[i]);

  /* Everything the page shows of a plan: draws of revenue, by channel and in total. */
  const evaluate = (s, multiples) => {
    s.today ??= Array.from({ length: s.count }, (_, c) => curve(s, c, 1));
    s.off ??= Array.from({ length: s.count }, (_, c) => curve(s, c, 0));
    s.before ??= total(s, s.today, s.today);
    const now = multiples.map((m, c) => curve(s, c, m));
    const whole = total(s, s.today, now);
    const step = (c, m) => total(s, s.today, now.with(c, curve(s, c, m)));
    const channels = multiples.map((m, c) => {
      const h = m > 0 ? 0.01 * m : 0.01;
      const up = m + h <= s.reach;
      const next = up ? minus(step(c, m + h), whole) : minus(whole, step(c, m - h));
      const brings = minus(whole, total(s, s.today, now.with(c, s.off[c])));
      return { brings, marginal: next.map((x) => x / (h * s.spend[c])) };
    });
    return { total: whole, before: s.before, media: minus(whole, total(s, s.today, s.off)), channels };
  };

  const quantile = (sorted, q) => {
    const at = q * (sorted.length - 1), i = Math.floor(at);
    return i + 1 < sorted.length ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[i];
  };

  const summary = (draws, prob) => {
    const sorted = Float64Array.from(draws).sort();
    const tail = (1 - prob) / 2;
    return { median: quantile(sorted, 0.5), lower: quantile(sorted, tail), upper: quantile(sorted, 1 - tail) };
  };

  /* Share `amount` out in proportion to `wanted`, none above its cap. */
  const share = (amount, wanted, caps) => {
    const out = wanted.map(() => 0);
    let open = wanted.map((_, i) => i), rest = amount;
    while (open.length) {
      const sum = open.reduce((a, i) => a + wanted[i], 0);
      const part = (i) => (sum > 0 ? (rest * wanted[i]) / sum : rest / open.length);
      const over = open.filter((i) => part(i) > caps[i]);
      if (!over.length) { for (const i of open) out[i] = part(i); break; }
      for (const i of over) { out[i] = caps[i]; rest -= caps[i]; }
      open = open.filter((i) => !over.includes(i));
    }
    return out;
  };

  /* Multiples after one channel is set and the total kept: the others move in proportion to
     `base`, held ones stay. The channel goes as far as the others leave room. */
  const keepTotal = (spend, most, multiples, base, held, channel, wanted, sum) => {
    const free = spend.map((_, i) => i).filter((i) => i !== channel && !held[i]);
    const fixed = spend.reduce((a, s, i) => a + (i !== channel && held[i] ? s * multiples[i] : 0), 0);
    const caps = free.map((i) => spend[i] * most);
    const room = caps.reduce((a, b) => a + b, 0);
    const low = Math.max(0, (sum - fixed - room) / spend[channel]);
    const high = Math.min(most, (sum - fixed) / spend[channel]);
    const result = multiples.slice();
    result[channel] = Math.max(Math.min(wanted, high), low);
    const rest = Math.max(0, sum - fixed - spend[channel] * result[channel]);
    const parts = share(rest, free.map((i) => spend[i] * base[i]), caps);
    free.forEach((i, n) => { result[i] = Math.min(parts[n] / spend[i], most); });
    return result;
  };

  return { load, curve, evaluate, summary, keepTotal };
})();
