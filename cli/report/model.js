// SPDX-License-Identifier: GPL-2.0-or-later
'use strict';
// What the report shows, decoded: rectangles of equal mappings, the two axes, what is where when. Nothing here draws.
const data = JSON.parse(document.getElementById('data').textContent);
const PAGE = 4096, END = data.meta.end_step || 1, FOREVER = Infinity;
const KIND = ['established', 'removed', 'changed', 'same again', 'attributes changed', 'tables'];
const MEMORY = ['UC', 'WC', 'type 2', 'type 3', 'WT', 'WP', 'WB', 'pending'];
const name = n => data.names[n] ?? '';

// ---- text ----
const grouped = n => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ',');
const hex = (n, digits = 0) => '0x' + n.toString(16).padStart(digits, '0');
const address = page => hex(page * PAGE, page >= 0x100000 ? 10 : 8);
function bytes(n) {
  for (const [unit, size] of [['TiB', 2 ** 40], ['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 1024]])
    if (n >= size) { const v = n / size; return `${v >= 100 || v === Math.round(v) ? Math.round(v) : v.toFixed(1)} ${unit}`; }
  return `${n} B`;
}
function steps(n, digits = 3) {
  if (n >= 1e9) return `${trim(n / 1e9, digits)} G`;
  if (n >= 1e6) return `${trim(n / 1e6, digits)} M`;
  if (n >= 1e3) return `${trim(n / 1e3, digits)} k`;
  return `${Math.round(n)}`;
}
const trim = (v, digits) => String(+v.toFixed(digits));
const plural = (n, one, many = one + 's') => `${grouped(n)} ${n === 1 ? one : many}`;
const accessText = v => (v & 1 ? 'r' : '-') + (v & 2 ? 'w' : '-') + (v & 4 ? 'x' : '-');
const pageSize = shift => bytes(2 ** shift);

// ---- rectangles ----
const rects = data.rectangles.map(([space, first, last, begin, end, state, target, kind, origin, chain, owner], index) => ({
  index, space, first, last, begin, end: end < 0 ? FOREVER : end, state: data.states[state], stateIndex: state, target, kind: kind & 7, linked: kind >= 8, origin, chain, owner}));
const marks = data.marks.map(([space, first, last, step, origin, chain]) => ({space, first, last, begin: step, origin, chain, mark: true, kind: 3}));
const bySpace = data.spaces.map((_, s) => rects.filter(r => r.space === s));
const spaceName = n => {
  const s = data.spaces[n];
  return s.format === 'EPT' ? `EPT ${s.root}` : `VT-d ${s.root}, ${s.devices.length ? s.devices.slice(0, 3).join(' ') + (s.devices.length > 3 ? ' …' : '') : 'no device'}`;
};
const isEpt = space => data.spaces[space]?.format === 'EPT';
const memoryOf = (r) => r.state[7] ? 'misconfigured' : isEpt(r.space) ? MEMORY[r.state[4]] : 'none';
const typeOf = r => name(r.state[1]) || 'mapped';
function mappingText(r) {
  if (!r) return 'not mapped';
  if (r.state[7]) return 'misconfigured entry';
  const parts = [accessText(r.state[3]).slice(0, isEpt(r.space) ? 3 : 2)];
  if (isEpt(r.space)) {
    if (name(r.state[1])) parts.push(`${name(r.state[1])} ${name(r.state[2])}`);
    parts.push((r.state[4] === 7 ? 'recalculation pending' : MEMORY[r.state[4]]) + (r.state[5] ? ' + IPAT' : ''));
  }
  parts.push(pageSize(r.state[6]));
  return parts.join(', ');
}
const targetOf = (r, page) => r.target + (page - r.first);
const targetText = (r, page) => targetOf(r, page) === page ? 'identity' : `to ${address(targetOf(r, page))}`;
function at(space, page, step) {
  let found = null;
  for (const r of bySpace[space] ?? []) if (r.first <= page && page <= r.last && r.begin <= step && step < r.end) found = r;
  return found;
}
/** All that ever happened to a page: rectangles, same-value stores, refused attempts, in order. */
function historyOf(space, page) {
  const all = [...(bySpace[space] ?? []).filter(r => r.first <= page && page <= r.last).map(r => ({step: r.begin, rect: r})),
    ...marks.filter(m => m.space === space && m.first <= page && page <= m.last).map(m => ({step: m.begin, mark: m})),
    ...refused.filter(a => isEpt(space) && a.first <= page && page <= a.last).map(a => ({step: a.step, refused: a}))];
  for (const r of bySpace[space] ?? [])
    if (r.first <= page && page <= r.last && r.end !== FOREVER && !(bySpace[space].some(o => o.begin === r.end && o.first <= page && page <= o.last))) all.push({step: r.end, removed: r});
  return all.sort((a, b) => a.step - b.step);
}
const refused = data.attempts.refused.map(([step, first, last, text, result, origin, chain]) => ({step, first, last, text: name(text), result: name(result), origin, chain}));
const writes = data.writes.map(([begin, end, first, last, count, origin, kind, format]) => ({begin, end, first, last, count, origin, kind, format}));
const gaps = data.gaps.map(([begin, end, count, done, space, origin, entered]) => ({begin, end, count, done, space, origin, entered, steps: done < 0 ? FOREVER : done - begin}));
const findings = data.findings.map((f, n) => ({...f, number: n + 1}));

// ---- what is there besides the tables ----
function e820At(page) {
  const a = page * PAGE;
  return data.e820.filter(([first, last]) => first < a + PAGE && last >= a).map(r => r[2]);
}
const regionsAt = page => data.regions.filter(([first, last]) => first < page * PAGE + PAGE && last >= page * PAGE);
/** Devices that always had the same tables stand together. */
const deviceGroups = (() => {
  const by = new Map();
  for (const d of data.devices) {
    const key = JSON.stringify(d.tables);
    if (!by.has(key)) by.set(key, {devices: [], tables: d.tables});
    by.get(key).devices.push(d.bdf);
  }
  return [...by.values()];
})();
function tablesAt(group, step) {
  let now = null;
  for (const [from, what] of group.tables) if (from <= step) now = what;
  return now;
}
function lineBefore(step) {
  let low = 0, high = data.console.length;
  while (low < high) { const mid = (low + high) >> 1; if (data.console[mid][0] <= step) low = mid + 1; else high = mid; }
  return low - 1;
}
const phaseAt = step => { let p = null; for (const x of data.phases) if (x[0] <= step) p = x; return p; };

/** VM exits: how many, and the same by reason; undefined where the run did not keep them over time. */
const exitTotals = data.meta.vm_exits_over_time ? Object.entries(data.meta.vm_exits_over_time.exits).map(([reason, bins]) => [reason, bins.reduce((s, b) => s + b[1], 0)]).filter(x => x[1]).sort((a, b) => b[1] - a[1]) : undefined;
const exitTotal = exitTotals?.reduce((s, x) => s + x[1], 0);

// ---- steps across ----
/** A monotonous, piecewise linear scale: from[i] <-> to[i], `to` from 0 to 1. */
class Scale {
  constructor(from, to) { this.from = from; this.to = to; }
  static find(list, v) { let low = 0, high = list.length - 1; while (low < high - 1) { const mid = (low + high) >> 1; if (list[mid] <= v) low = mid; else high = mid; } return low; }
  static map(a, b, v) { const i = Scale.find(a, v), span = a[i + 1] - a[i]; return b[i] + (span ? (Math.min(Math.max(v, a[i]), a[i + 1]) - a[i]) / span : 0) * (b[i + 1] - b[i]); }
  at(v) { return Scale.map(this.from, this.to, v); }
  back(t) { return Scale.map(this.to, this.from, t); }
}
const linearScale = new Scale([0, END], [0, 1]);
/** Room for activity: what happens takes room, waiting takes little. */
const activityScale = (() => {
  const weight = new Map(), groups = new Map();
  const add = (step, w) => { if (step >= 0 && step <= END) weight.set(step, (weight.get(step) ?? 0) + w); };
  const later = (key, step, w) => { if (!groups.has(key)) groups.set(key, []); groups.get(key).push([step, w]); };
  for (const w of writes) { const room = Math.min(8, Math.sqrt(w.count)); later(w.origin, w.begin, room / 2); later(w.origin, w.end, room / 2); }
  const grains = new Map();   // changes that are close to each other count once: a loop over pages is one thing
  for (const r of rects) for (const s of [r.begin, r.end]) if (s !== FOREVER) grains.set(Math.floor(s / (END / 3000)), [s, r.origin]);
  for (const [s, origin] of grains.values()) later(origin, s, .55);
  // One loop that does ten thousand times what another does has about a hundred times its room.
  for (const list of groups.values()) { const factor = list.reduce((sum, x) => sum + x[1], 1) ** -.45; for (const [s, w] of list) add(s, w * factor); }
  const activity = [...weight.values()].reduce((x, y) => x + y, 0), unit = (activity || 1) / 100;   // single moments: each a share of it
  for (const f of findings) add(f.step, unit);
  for (const f of data.faults.slice(0, 200)) add(f[0], unit / 4);
  for (const e of data.entries.slice(0, 50)) add(e[0], unit);
  for (const t of data.translation.slice(0, 20)) add(t[0], unit);
  for (const l of data.console) add(l[0], unit * 8 / data.console.length);
  const over = data.meta.vm_exits_over_time, exits = Object.values(over?.exits ?? {}).flat();
  for (const [bin] of exits) add(Math.min(END, (bin + .5) * over.steps_per_bin), unit * 12 / exits.length);
  const known = [...weight.keys()].sort((a, b) => a - b);
  if (known.length < 4) return linearScale;
  const total = [...weight.values()].reduce((a, b) => a + b, 0);
  const from = [0], to = [0];
  let sum = 0, last = 0;
  for (const s of known) {
    sum += weight.get(s) / total;
    if (s <= last) continue;
    from.push(s); to.push(.84 * sum + .16 * s / END);
    last = s;
  }
  if (last < END) { from.push(END); to.push(1); }
  const top = to[to.length - 1];
  return new Scale(from, to.map(t => t / top));
})();

// ---- addresses down ----
/** Ranges between all borders that mean something; those where nothing ever is are holes. */
const addressScale = (() => {
  const borders = new Set(), used = [];
  const use = (first, last) => { borders.add(first); borders.add(last + 1); used.push([first, last + 1]); };
  for (const [first, last] of data.e820) use(Math.floor(first / PAGE), Math.floor(last / PAGE));
  for (const [first, last, kind] of data.regions) if (kind !== 'ECAM' || data.regions.length < 3) use(Math.floor(first / PAGE), Math.floor(last / PAGE));
  // Borders between rectangles that stand beside each other and differ in more than a short while are of interest.
  const close = END / 400;
  for (const list of bySpace) {
    const starts = new Map();
    for (const r of list) { used.push([r.first, r.last + 1]); if (!starts.has(r.first)) starts.set(r.first, []); starts.get(r.first).push(r); }
    const alike = (a, b) => a.stateIndex === b.stateIndex && a.target + (b.first - a.first) === b.target && Math.abs(a.begin - b.begin) < close &&
      (a.end === b.end || Math.abs(a.end - b.end) < close) && a.origin === b.origin;
    for (const r of list) {
      const next = starts.get(r.last + 1);
      if (!next || !next.some(o => alike(r, o))) borders.add(r.last + 1);
    }
    const ends = new Map();
    for (const r of list) { if (!ends.has(r.last)) ends.set(r.last, []); ends.get(r.last).push(r); }
    for (const r of list) { const before = ends.get(r.first - 1); if (!before || !before.some(o => alike(o, r))) borders.add(r.first); }
  }
  for (const f of findings) if (f.last >= f.first && f.last - f.first < 2 ** 36) use(f.first, f.last);
  for (const f of data.faults) borders.add(f[2]), borders.add(f[2] + 1), used.push([f[2], f[2] + 1]);
  borders.add(0);
  const sorted = [...borders].sort((a, b) => a - b);
  used.sort((a, b) => a[0] - b[0]);
  const covered = [];
  for (const [a, b] of used) if (covered.length && a <= covered[covered.length - 1][1]) covered[covered.length - 1][1] = Math.max(b, covered[covered.length - 1][1]); else covered.push([a, b]);
  const inUse = (a, b) => covered.some(([c, d]) => c < b && d > a);
  const bands = [];
  for (let i = 0; i + 1 < sorted.length; i++) {
    const first = sorted[i], end = sorted[i + 1], pages = end - first, hole = !inUse(first, end);
    bands.push({first, end, hole, weight: hole ? 3.2 : 1 + 1.15 * Math.log2(1 + pages) ** .9});
  }
  const mean = bands.length ? bands.reduce((s, b) => s + b.weight, 0) / bands.length : 1;
  for (const b of bands) if (bands.length > 90 && !b.hole) b.weight = Math.max(b.weight, mean / 6);
  const total = bands.reduce((s, b) => s + b.weight, 0) || 1;
  const from = [0], to = [0];
  let sum = 0;
  for (const b of bands) { b.top = sum / total; sum += b.weight; b.bottom = sum / total; from.push(b.end); to.push(b.bottom); }
  if (!bands.length) { from.push(1); to.push(1); }
  const scale = new Scale(from, to);
  scale.bands = bands;
  scale.end = sorted.length ? sorted[sorted.length - 1] : 1;
  return scale;
})();

// ---- page sizes over time ----
/** Leaves of each size, at each step where their number changes: {shift: [[step, count], ...]}. */
function pageSizes(space) {
  const deltas = new Map();
  for (const r of bySpace[space] ?? []) {
    const shift = r.state[6], leaves = Math.max(1, (r.last - r.first + 1) / 2 ** (shift - 12));
    if (!deltas.has(shift)) deltas.set(shift, []);
    deltas.get(shift).push([r.begin, leaves]);
    if (r.end !== FOREVER) deltas.get(shift).push([r.end, -leaves]);
  }
  const out = [];
  for (const [shift, list] of [...deltas].sort((a, b) => a[0] - b[0])) {
    list.sort((a, b) => a[0] - b[0]);
    const points = [[0, 0]];
    let now = 0;
    for (const [step, by] of list) { now += by; if (points[points.length - 1][0] === step) points[points.length - 1][1] = now; else points.push([step, now]); }
    out.push({shift, points, most: Math.max(...points.map(p => p[1]))});
  }
  return out;
}
const originTotals = (() => {
  const by = data.origins.map(([text, source], index) => ({index, text, source, writes: 0, kinds: [0, 0, 0, 0, 0, 0], begin: Infinity, end: 0, refused: 0}));
  for (const w of writes) { const o = by[w.origin]; o.writes += w.count; o.kinds[w.kind] += w.count; o.begin = Math.min(o.begin, w.begin); o.end = Math.max(o.end, w.end); }
  for (const a of refused) by[a.origin].refused++;
  return by;
})();
const originRank = (() => { const rank = []; [...originTotals].filter(o => o.writes).sort((a, b) => b.writes - a.writes).forEach((o, i) => { rank[o.index] = i; }); return rank; })();
const originColour = n => `--c${Math.min(originRank[n] ?? 8, 8)}`;
const typeRank = (() => {
  const pages = new Map();
  for (const r of rects) if (isEpt(r.space)) pages.set(typeOf(r), (pages.get(typeOf(r)) ?? 0) + 1);
  const fixed = {ram_rw: 2, mmio_direct: 4};   // not the colours of WB and UC: the two pictures shall not be taken for each other
  const free = [3, 5, 6, 7, 0, 1];
  const rank = {};
  for (const t of [...pages.keys()].sort()) rank[t] = fixed[t] ?? free.shift() ?? 8;
  return rank;
})();
