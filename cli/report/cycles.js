// SPDX-License-Identifier: GPL-2.0-or-later
// Cycles by cause over the run, where it had a timing model: a picture (SVG, in the page's own colours) and the numbers beside it.
const CAUSES = {base: 'instructions themselves', branch: 'mispredicted branches', 'fetch-l2': 'code from L2', 'fetch-llc': 'code from the last-level cache', 'fetch-dram': 'code from memory',
  'data-l2': 'data from L2', 'data-llc': 'data from the last-level cache', 'data-dram': 'data from memory', tlb: 'second-level TLB, and starting walks', 'guest-walk': 'reading paging structures',
  'nested-walk': 'reading EPT', 'vm-entry': 'VM entries', 'vm-exit': 'VM exits', interrupt: 'interrupts and exceptions', device: 'ports and device registers', wait: 'halted'};
const CONTEXTS = [['all', 'Both'], ['hypervisor', 'Hypervisor'], ['guest', 'Guest']];
const cycleView = {context: 'all', across: 'time', at: null, width: 900};
/** Stretches with where they begin: cycles, instructions and cycles by cause of hypervisor and guest. */
const cycleSlices = (data.cycles?.slices ?? []).map(([step, ns, root, guest], n, all) => {
  const spent = ([cycles, instructions, ...causes]) => ({cycles, instructions, causes});
  return {step, ns, begin: n ? all[n - 1][0] : 0, beginNs: n ? all[n - 1][1] : 0, hypervisor: spent(root), guest: spent(guest)};
});
const bothOf = s => ({cycles: s.hypervisor.cycles + s.guest.cycles, instructions: s.hypervisor.instructions + s.guest.instructions, causes: s.hypervisor.causes.map((n, k) => n + s.guest.causes[k])});
const spentIn = (s, context) => context === 'all' ? bothOf(s) : s[context];
function sumOf(slices, context) {
  const sum = {cycles: 0, instructions: 0, causes: data.cycles.causes.map(() => 0)};
  for (const s of slices) { const p = spentIn(s, context); sum.cycles += p.cycles; sum.instructions += p.instructions; p.causes.forEach((n, k) => { sum.causes[k] += n; }); }
  return sum;
}
const share = (n, of) => of ? `${(100 * n / of).toFixed(1)}%` : '';
const seconds = ns => ns >= 1e9 ? `${trim(ns / 1e9, 3)} s` : ns >= 1e6 ? `${trim(ns / 1e6, 3)} ms` : `${trim(ns / 1e3, 3)} µs`;
function vector(tag, attributes = {}, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// ---- the picture ----
const PICTURE = {left: 58, right: 10, top: 8, high: 320, axis: 24};
const lastOf = () => cycleSlices[cycleSlices.length - 1];
const acrossOf = s => cycleView.across === 'time' ? [s.beginNs, s.ns] : [s.begin, s.step];
/** Columns with their borders, 0 to 1: by time the share of what all processors have, by steps cycles of a step (waits left out: none is in a step). */
function cycleColumns() {
  const time = cycleView.across === 'time', end = acrossOf(lastOf())[1] || 1, wait = data.cycles.causes.indexOf('wait');
  const columns = cycleSlices.map((s, index) => {
    const [a, b] = acrossOf(s), of = time ? bothOf(s).cycles : s.step - s.begin;
    const values = spentIn(s, cycleView.context).causes.map((n, k) => of && (time || k !== wait) ? n / of : 0);
    return {index, a: a / end, b: b / end, values, sum: values.reduce((x, y) => x + y, 0)};
  }).filter(c => c.b > c.a);
  // One that is too narrow to be seen does not make all others low.
  const most = time ? 1 : Math.max(...columns.filter(c => c.b - c.a > .003).map(c => c.sum), 0) || Math.max(...columns.map(c => c.sum), 0) || 1;
  return {columns, most};
}
function ticksOf(end, count) {
  const raw = end / count, power = 10 ** Math.floor(Math.log10(raw || 1)), by = [1, 2, 5, 10].map(f => f * power).find(f => f >= raw) || 1, out = [];
  for (let v = 0; v <= end * 1.0001; v += by) out.push(v);
  return out;
}
function drawCycles() {
  const {left, right, top, high, axis} = PICTURE, width = cycleView.width, across = width - left - right, bottom = top + high, time = cycleView.across === 'time';
  const {columns, most} = cycleColumns(), x = v => +(left + v * across).toFixed(2), y = v => +(bottom - Math.min(1, v / most) * high).toFixed(2);
  const picture = vector('svg', {viewBox: `0 0 ${width} ${bottom + axis}`, width, height: bottom + axis, 'aria-hidden': 'true'});
  const paths = data.cycles.causes.map(() => '');
  for (const c of columns) {
    let low = 0;
    c.values.forEach((n, k) => { if (n > 0 && y(low) !== y(low + n)) paths[k] += `M${x(c.a)} ${y(low)}V${y(low + n)}H${x(c.b)}V${y(low)}Z`; low += n; });
  }
  picture.append(vector('rect', {x: left, y: top, width: across, height: high, class: 'ground'}));
  paths.forEach((d, k) => { if (d) picture.append(vector('path', {d, style: `fill: var(--k-${data.cycles.causes[k]})`, 'data-cause': data.cycles.causes[k]})); });
  for (const v of time ? [0, .25, .5, .75, 1] : ticksOf(most, 4)) {
    if (v) picture.append(vector('path', {d: `M${left} ${y(v)}H${left + across}`, class: 'grid'}));
    picture.append(vector('text', {x: left - 6, y: y(v) + 4, 'text-anchor': 'end'}, time ? `${v * 100}%` : trim(v, 2)));
  }
  const end = acrossOf(lastOf())[1] || 1;
  for (const v of ticksOf(end, width / 130)) {
    picture.append(vector('path', {d: `M${x(v / end)} ${bottom}v4`, class: 'tick'}));
    picture.append(vector('text', {x: Math.min(x(v / end), width - 24), y: bottom + 17, 'text-anchor': v ? 'middle' : 'start'}, time ? seconds(v).replace(/^0 .*/, '0') : steps(v)));
  }
  picture.append(vector('rect', {class: 'here', y: top, height: high, x: -9, width: 0}), vector('path', {class: 'cursor', d: ''}));
  $('cycle-picture').replaceChildren(picture);
  cycleCursor();
}
/** Where the map's cursor is, and which column is looked at. */
function cycleCursor() {
  const picture = document.querySelector('#cycle-picture svg');
  if (!picture) return;
  const {left, right, top, high} = PICTURE, across = cycleView.width - left - right, end = acrossOf(lastOf())[1] || 1, step = view.cursor?.step;
  let d = '';
  if (step !== undefined) {
    const s = cycleSlices.find(c => step <= c.step) ?? lastOf(), [a, b] = acrossOf(s), part = s.step > s.begin ? (step - s.begin) / (s.step - s.begin) : 1;
    const at = Math.round(left + Math.min(1, (a + (b - a) * part) / end) * across) + .5;
    d = `M${at} ${top}v${high}`;
  }
  picture.querySelector('.cursor').setAttribute('d', d);
  const here = picture.querySelector('.here'), s = cycleSlices[cycleView.at];
  const [a, b] = s ? acrossOf(s) : [0, 0];
  here.setAttribute('x', s ? left + a / end * across : -9);
  here.setAttribute('width', s ? Math.max(1, (b - a) / end * across) : 0);
}

// ---- the numbers ----
function cycleTable() {
  const sum = sumOf(cycleSlices, cycleView.context), s = cycleSlices[cycleView.at], here = s && spentIn(s, cycleView.context), all = s && bothOf(s).cycles;
  const rows = data.cycles.causes.map((c, k) => [c, k]).filter(([, k]) => sum.causes[k]).sort((p, q) => sum.causes[q[1]] - sum.causes[p[1]]);
  const perStep = p => p.instructions ? trim((p.cycles - (p.causes[data.cycles.causes.indexOf('wait')] ?? 0)) / p.instructions, 2) : '–';
  $('cycle-table').replaceChildren(table([['Cause'], ['Cycles', 'r'], ['Share', 'r'], ['Here', 'r']], [
    ...rows.map(([c, k]) => el('tr', {title: CAUSES[c] ?? c}, el('td', {}, el('i', {class: 'swatch', 'aria-hidden': 'true', style: `background:var(--k-${c})`}), ` ${c}`), el('td', {class: 'r'}, grouped(sum.causes[k])),
      el('td', {class: 'r'}, share(sum.causes[k], sum.cycles)), el('td', {class: 'r'}, here ? share(here.causes[k], all) : ''))),
    el('tr', {class: 'total'}, el('td', {}, 'all'), el('td', {class: 'r'}, grouped(sum.cycles)), el('td', {class: 'r'}, share(sum.cycles, sum.cycles)), el('td', {class: 'r'}, here ? share(here.cycles, all) : '')),
    el('tr', {}, el('td', {}, 'instructions'), el('td', {class: 'r'}, grouped(sum.instructions)), el('td', {}), el('td', {class: 'r'}, here ? grouped(here.instructions) : '')),
    el('tr', {}, el('td', {}, 'cycles of each, but waits'), el('td', {class: 'r'}, perStep(sum)), el('td', {}), el('td', {class: 'r'}, here ? perStep(here) : ''))]));
  const line = s && data.console[lineBefore(s.step)], phase = s && phaseAt(s.step);
  $('cycle-here').textContent = s ? `Steps ${grouped(s.begin)} to ${grouped(s.step)}, ${seconds(s.beginNs)} to ${seconds(s.ns)}${phase ? `, ${phase[2]}` : ''}${line ? `: ${line[1].trim()}` : ''}` : 'Move over the picture for the numbers of one stretch; click to put the cursor of the map there.';
}
function lookAt(index) { cycleView.at = index; cycleTable(); cycleCursor(); }
function columnAt(e) {
  const b = $('cycle-picture').getBoundingClientRect(), v = (e.clientX - b.left - PICTURE.left) / (cycleView.width - PICTURE.left - PICTURE.right) * acrossOf(lastOf())[1];
  const found = cycleSlices.findIndex(s => { const [a, z] = acrossOf(s); return a <= v && v < z; });
  return found < 0 ? null : found;
}
/** Cycles of the whole run, from its manifest, where they could not be had over time. */
function wholeCycles() {
  const by = new Map();
  for (const p of data.meta.timing?.cpus ?? []) for (const [k, key] of ['root', 'guest'].entries()) for (const [c, n] of Object.entries(p[key].causes)) { const v = by.get(c) ?? [0, 0]; v[k] += n; by.set(c, v); }
  return table([['Cause, of the whole run'], ['Hypervisor', 'r'], ['Guest', 'r']], [...by].map(([c, [a, b]]) => el('tr', {title: CAUSES[c] ?? c}, el('td', {}, c), el('td', {class: 'r'}, grouped(a)), el('td', {class: 'r'}, grouped(b)))));
}
function cycleSection() {
  if (!data.cycles) return $('cycles-section').remove();
  $('cycles-section').hidden = false;
  const clock = data.meta.clock ?? {};
  $('cycles-hint').textContent = `Model ${clock.model ?? 'unknown'}, profile ${clock.profile ?? 'unknown'}${data.cycles.mhz ? `, ${grouped(data.cycles.mhz)} MHz` : ''}; hypervisor: VMX root operation, guest: non-root.`;
  if (!cycleSlices.length) return $('cycles').replaceChildren(nothing(`Cycles over time are missing, as the run could not be made once more: ${data.cycles.missing ?? 'it has no steps'}`), wholeCycles());
  segmented('cycle-context', CONTEXTS, 'all', v => { cycleView.context = v; drawCycles(); cycleTable(); });
  segmented('cycle-across', [['time', 'Time'], ['steps', 'Steps']], 'time', v => { cycleView.across = v; drawCycles(); });
  const picture = $('cycle-picture');
  picture.addEventListener('pointermove', e => { const n = columnAt(e); if (n !== cycleView.at) lookAt(n); });
  picture.addEventListener('pointerleave', () => lookAt(null));
  picture.addEventListener('click', e => { const n = columnAt(e); if (n !== null) goTo(cycleSlices[n].begin); });
  picture.addEventListener('keydown', e => {
    const n = cycleView.at ?? -1, to = {ArrowRight: Math.min(n + 1, cycleSlices.length - 1), ArrowLeft: Math.max(n - 1, 0), Home: 0, End: cycleSlices.length - 1}[e.key];
    if (to !== undefined) { lookAt(to); e.preventDefault(); } else if (e.key === 'Enter' && cycleView.at !== null) goTo(cycleSlices[cycleView.at].begin);
  });
  const fit = () => { const w = Math.max(420, picture.clientWidth); if (w !== cycleView.width) { cycleView.width = w; drawCycles(); } };
  new ResizeObserver(fit).observe(picture);
  cycleView.width = Math.max(420, picture.clientWidth);
  drawCycles(); cycleTable();
}
