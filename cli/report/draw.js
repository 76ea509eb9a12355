// SPDX-License-Identifier: GPL-2.0-or-later
// The picture: map, lanes beside it, rows below it. Draws `view` and knows nothing of the page around it.
const view = {space: 0, colour: 'memory', scale: activityScale, x0: 0, x1: 1, y0: 0, y1: 1, origin: null, cursor: null, held: false, width: 900, print: false};
const ui = {base: document.getElementById('base'), overlay: document.getElementById('overlay')};
const LEFT = 192, PHASES = 54, AXIS = 26;
let palette = {}, rows = [], box = {};

function colours() {
  const style = getComputedStyle(document.documentElement), get = n => style.getPropertyValue(n).trim();
  palette = new Proxy({}, {get: (cache, key) => cache[key] ??= get(key.startsWith('--') ? key : '--' + key)});
  palette.mono = get('--mono'); palette.sans = get('--sans');
}
const SHORT = {RESERVED: 'RESVD', UNUSABLE: 'UNUSBL', 'I/O APIC': 'IOAPIC'};
const E820_COLOUR = {RAM: 'ram', RESERVED: 'reserved', ACPI: 'acpi', NVS: 'nvs', UNUSABLE: 'unusable', PMEM: 'ram'};
function colourOf(r) {
  if (view.colour === 'origin') return palette[originColour(r.owner)];
  if (view.colour === 'size') return palette[{12: '--c0', 21: '--c3', 30: '--c2'}[r.state[6]] ?? '--c8'];
  if (view.colour === 'type') return r.state[7] ? palette.misconfigured : isEpt(r.space) ? palette[`--c${typeRank[typeOf(r)] ?? 8}`] : palette.none;
  return palette[memoryOf(r)] || palette.none;
}
/** Where everything is, from the width. Heights are in CSS pixels. */
function layout() {
  const sizes = pageSizes(view.space), right = 34 * stripsOf().length + 14;
  box = {left: LEFT, right: view.width - right, top: PHASES, bottom: 0, strips: stripsOf()};
  const tall = Math.max(240, Math.min(Math.max(340, innerHeight * .48), 120 + addressScale.bands.length * 13));
  box.bottom = box.top + Math.round(view.print ? 270 : tall);
  let y = box.bottom + AXIS;
  rows = [];
  const row = (id, label, unit, height, extra = {}) => { rows.push({id, label, unit, top: y + 6, height, ...extra}); y += height + 12; };
  row('writes', 'Stores to tables', '', 46);
  for (const s of sizes) row('sizes', `${pageSize(s.shift)} pages`, `up to ${grouped(s.most)}`, 22, {series: s});
  row('gaps', 'Until invalidated', 'steps, log; triangle: never', 40);
  row('exits', 'VM exits', exitUnit(), 26);
  row('flushes', 'Invalidations', grouped(data.invalidations.length), 13);
  row('faults', 'DMA faults', grouped(data.faults.length), 13);
  box.height = y + 4;
}
const exitUnit = () => exitTotal === undefined ? 'not kept over time' : grouped(exitTotal);
const stripsOf = () => data.spaces.map((_, n) => n).slice(0, 5);
const xOf = step => box.left + (view.scale.at(step) - view.x0) / (view.x1 - view.x0) * (box.right - box.left);
const stepAt = x => view.scale.back(view.x0 + (x - box.left) / (box.right - box.left) * (view.x1 - view.x0));
const yOf = page => box.top + (addressScale.at(page) - view.y0) / (view.y1 - view.y0) * (box.bottom - box.top);
const pageAt = y => Math.min(Math.max(0, Math.floor(addressScale.back(view.y0 + (y - box.top) / (box.bottom - box.top) * (view.y1 - view.y0)) + 1e-6)), addressScale.end - 1);

function surface(canvas, height) {
  const ratio = view.print ? 2.5 : Math.max(1, window.devicePixelRatio || 1);
  canvas.width = Math.round(view.width * ratio); canvas.height = Math.round(height * ratio);
  canvas.style.width = view.width + 'px'; canvas.style.height = height + 'px';
  const g = canvas.getContext('2d');
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, view.width, height);
  return g;
}
function write(g, text, x, y, {colour = palette.soft, align = 'left', font = '11px', mono = false, weight = '', width} = {}) {
  g.font = `${weight} ${font} ${mono ? palette.mono : palette.sans}`; g.fillStyle = colour; g.textAlign = align; g.textBaseline = 'middle';
  if (width !== undefined && g.measureText(text).width > width) {
    while (text.length > 1 && g.measureText(text + '…').width > width) text = text.slice(0, -1);
    if (text.length < 4) return false;
    text += '…';
  }
  g.fillText(text, x, y);
  return true;
}
const patterns = new Map();
/** Hatching says which accesses are missing: of rwx, none is hatched. */
function hatch(g, access, ept) {
  const missing = (ept ? 7 : 3) & ~access;
  if (!missing) return null;
  const key = `${missing} ${palette.hatch} ${view.print}`;
  if (patterns.has(key)) return patterns.get(key);
  const c = document.createElement('canvas'), size = 8;
  c.width = c.height = size * 2;
  const p = c.getContext('2d');
  p.scale(2, 2); p.strokeStyle = palette.hatch; p.lineWidth = .8;
  const line = (x1, y1, x2, y2) => { p.beginPath(); p.moveTo(x1, y1); p.lineTo(x2, y2); p.stroke(); };
  if (missing & 4) for (const d of [-8, 0, 8]) line(d, 8, d + 8, 0);                  // not executable: rising
  if (missing & 2) for (const d of [-8, 0, 8]) line(d, 0, d + 8, 8);                  // not writable: falling
  if (missing & 1) line(0, 4, 8, 4);                                                    // not readable: level
  const made = g.createPattern(c, 'repeat');
  made.setTransform(new DOMMatrix().scale(.5));
  patterns.set(key, made);
  return made;
}
function clip(g, x, y, w, h, draw) { g.save(); g.beginPath(); g.rect(x, y, w, h); g.clip(); draw(); g.restore(); }

function draw() {
  colours(); layout(); patterns.clear();
  const g = surface(ui.base, box.height);
  drawPhases(g); drawAddresses(g);
  clip(g, box.left, box.top, box.right - box.left, box.bottom - box.top, () => { drawMap(g); drawFindings(g); });
  g.strokeStyle = palette.line; g.lineWidth = 1; g.strokeRect(box.left + .5, box.top + .5, box.right - box.left - 1, box.bottom - box.top - 1);
  drawSteps(g);
  for (const r of rows) drawRow(g, r);
  drawCursor();
}
function drawPhases(g) {
  write(g, 'Phase', 12, 12, {colour: palette.ink, font: '11.5px'}); write(g, 'Console lines', 12, 30, {colour: palette.ink, font: '11.5px'}); write(g, grouped(data.console.length), box.left - 10, 30, {align: 'right', font: '10.5px'});
  clip(g, box.left, 0, box.right - box.left, PHASES, () => {
    data.phases.forEach(([begin, end, text], n) => {
      const next = data.phases[n + 1]?.[0] ?? end, a = xOf(begin), b = Math.max(a + 2, xOf(Math.min(next, END)));
      g.fillStyle = palette[n % 2 ? 'phase2' : 'phase']; g.fillRect(a, 3, b - a - 1, 18);
      const from = Math.max(a, box.left);
      if (b - from > 22) write(g, text, from + 6, 12.5, {colour: palette.ink, width: b - from - 10});
    });
    g.fillStyle = palette.faint;
    for (const [step] of data.console) g.fillRect(Math.round(xOf(step)), 26, 1, 9);
  });
  if (!data.phases.length) write(g, 'no symbols: phases are not known', box.left + 6, 12.5);
}
function drawAddresses(g) {
  const lanes = {e820: box.left - 88, device: box.left - 44};
  write(g, 'E820', lanes.e820 + 20, box.top - 8, {align: 'center', font: '10px'}); write(g, 'devices', lanes.device + 20, box.top - 8, {align: 'center', font: '10px'});
  clip(g, 0, box.top, box.left, box.bottom - box.top, () => {
    const lane = (x, first, last, colour, text) => {
      const a = yOf(first), b = Math.max(yOf(last + 1), a + 1.5);
      if (b < box.top || a > box.bottom) return;
      g.fillStyle = colour; g.fillRect(x, Math.round(a), 40, Math.max(1, Math.round(b) - Math.round(a) - (b - a > 4 ? 1 : 0)));
      const from = Math.max(a, box.top), to = Math.min(b, box.bottom);
      if (to - from > 11) write(g, SHORT[text] ?? text, x + 20, (from + to) / 2, {align: 'center', font: '9.5px', colour: palette['ink-on'], width: 39});
    };
    for (const [first, last, kind] of data.e820) lane(lanes.e820, Math.floor(first / PAGE), Math.floor(last / PAGE), palette[E820_COLOUR[kind] ?? 'unusable'], kind);
    for (const [first, last, kind] of data.regions) lane(lanes.device, Math.floor(first / PAGE), Math.floor(last / PAGE), palette[kind === 'RMRR' ? 'rmrr' : 'device'], kind);
  });
  // Labels of borders: the important ones first, none over another.
  const important = new Set();
  for (const [first, last] of data.e820) important.add(Math.floor(first / PAGE)).add(Math.floor(last / PAGE) + 1);
  const candidates = addressScale.bands.flatMap(b => [b.first]).concat(addressScale.end).map(p => ({p, y: yOf(p), first: important.has(p) ? 0 : 1}))
    .filter(c => c.y >= box.top - 1 && c.y <= box.bottom + 1).sort((a, b) => a.first - b.first || a.p - b.p);
  const taken = [];
  for (const c of candidates) {
    const y = Math.min(Math.max(c.y, box.top + 5), box.bottom - 5);
    if (taken.some(t => Math.abs(t - y) < 12.5)) continue;
    taken.push(y);
    write(g, address(c.p), lanes.e820 - 8, y, {align: 'right', mono: true, font: '10.5px', colour: c.first ? palette.faint : palette.soft});
  }
  box.strips.forEach((s, n) => {
    const x = box.right + 8 + n * 34;
    write(g, isEpt(s) ? 'EPT' : 'VT-d', x + 14, box.top - 8, {align: 'center', font: '10px', colour: s === view.space ? palette.ink : palette.soft});
    g.strokeStyle = palette.line; g.strokeRect(x + .5, box.top + .5, 27, box.bottom - box.top - 1);
  });
  if (box.strips.length) write(g, 'at the cursor', box.right + 8 + box.strips.length * 17 - 3, box.top - 24, {align: 'center', font: '10px'});
}
/** On whole pixels, so that neighbours leave no seam. */
function fillRect(g, r, x0, y0, w0, h0, faded) {
  const x = Math.round(x0), y = Math.round(y0), w = Math.max(1, Math.round(x0 + w0) - x), h = Math.max(1, Math.round(y0 + h0) - y);
  g.globalAlpha = faded ? .13 : 1;
  g.fillStyle = colourOf(r); g.fillRect(x, y, w, h);
  if (w > 2 && h > 2) { const p = hatch(g, r.state[3], isEpt(r.space)); if (p) { g.fillStyle = p; g.fillRect(x, y, w, h); } }
  g.globalAlpha = 1;
}
function drawMap(g) {
  for (const b of addressScale.bands) {
    const a = yOf(b.first), h = yOf(b.end) - a;
    if (b.hole) {
      g.fillStyle = palette.hole; g.fillRect(box.left, a, box.right - box.left, h);
      if (h > 10) write(g, `${bytes((b.end - b.first) * PAGE)} where nothing is`, (box.left + box.right) / 2, a + h / 2, {align: 'center', font: '10px', colour: palette.faint});
    }
    g.fillStyle = palette.hair; g.fillRect(box.left, Math.round(a), box.right - box.left, 1);
  }
  const list = bySpace[view.space] ?? [];
  for (const r of list) {
    const x = xOf(r.begin), y = yOf(r.first), w = Math.max(1, xOf(Math.min(r.end, END)) - x), h = Math.max(1, yOf(r.last + 1) - y);
    if (x > box.right || x + w < box.left || y > box.bottom || y + h < box.top) continue;
    fillRect(g, r, x, y, w, h, view.origin !== null && r.origin !== view.origin && r.owner !== view.origin);
    if (r.kind === 2 && w > 2) { g.fillStyle = palette.ink; g.fillRect(x, y, 1.5, h); }   // another mapping than before
  }
  for (const m of marks) if (m.space === view.space) { const x = xOf(m.begin), y = yOf(m.first); g.fillStyle = palette.soft; g.fillRect(x - .5, y, 1, Math.max(2, yOf(m.last + 1) - y)); }
  for (const [step, , on] of data.translation) {
    const x = Math.round(xOf(step)) + .5;
    g.strokeStyle = palette.accent; g.setLineDash([3, 3]); g.beginPath(); g.moveTo(x, box.top); g.lineTo(x, box.bottom); g.stroke(); g.setLineDash([]);
    const text = on ? 'VT-d translation on' : 'VT-d translation off', left = x > (box.left + box.right) / 2;
    g.font = `10px ${palette.sans}`;
    const room = g.measureText(text).width + 8;
    g.globalAlpha = .85; g.fillStyle = palette.card; g.fillRect(left ? x - 3 - room : x + 3, box.bottom - 19, room, 14); g.globalAlpha = 1;
    write(g, text, left ? x - 7 : x + 7, box.bottom - 12, {colour: palette.accent, align: left ? 'right' : 'left', font: '10px'});
  }
  if (!list.length) {
    const text = data.spaces.length ? 'These tables were never used for a mapping.' : 'No EPT and no VT-d tables up to here: no VMCS had an EPT pointer and no unit a root table.';
    write(g, text, (box.left + box.right) / 2, (box.top + box.bottom) / 2, {align: 'center', font: '13px'});
  }
}
function drawFindings(g) {
  for (const a of refused) if (a.first >= 0) { const x = xOf(a.step), y = yOf(a.first); g.fillStyle = palette.error; g.fillRect(x - 1.5, y, 3, Math.max(3, yOf(a.last + 1) - y)); }
  const labels = [];
  for (const f of findings) {
    if (f.space !== null && f.space !== view.space && data.spaces[f.space]?.shared_with !== view.space) continue;
    const colour = palette[f.severity], x = xOf(f.step), y = yOf(f.first), h = Math.max(4, yOf(f.last + 1) - y);
    const held = f.space !== null ? at(f.space, f.first, f.step + 1) : null, to = xOf(Math.min(held ? held.end : f.step, END)), w = Math.max(8, to - x);
    if (y > box.bottom || y + h < box.top) continue;
    g.strokeStyle = colour; g.lineWidth = 1.5; g.strokeRect(x, y, w, h); g.fillStyle = colour; g.fillRect(x - 1.5, y, 3.5, h);
    labels.push({f, x, y: y + h / 2});
  }
  g.lineWidth = 1;
  const placed = [];
  for (const {f, x, y} of labels) {
    let cx = Math.min(Math.max(x - 11, box.left + 10), box.right - 10);
    const cy = Math.min(Math.max(y, box.top + 10), box.bottom - 10);
    if (placed.some(([a, b]) => Math.hypot(a - cx, b - cy) < 15)) continue;
    placed.push([cx, cy]);
    g.fillStyle = palette[f.severity]; g.beginPath(); g.arc(cx, cy, 8, 0, 7); g.fill();
    write(g, String(f.number), cx, cy + .5, {align: 'center', font: '9.5px', weight: '600', colour: palette.card});
  }
}
/** Round numbers near equal distances; the scale is not linear, so neither are they. */
function ticks() {
  const out = [], wanted = Math.max(2, Math.floor((box.right - box.left) / 96));
  for (let i = 0; i <= wanted; i++) {
    const x = box.left + (box.right - box.left) * i / wanted, exact = stepAt(x);
    let best = Math.round(exact);
    for (let unit = 10 ** Math.ceil(Math.log10(END)); unit >= 1; unit /= 10)
      for (const m of [5, 2, 1]) {
        const s = Math.round(exact / (unit * m)) * unit * m;
        if (s >= 0 && s <= END && Math.abs(xOf(s) - x) < 26) { best = s; unit = 0; break; }
      }
    const bx = xOf(best);
    if (bx < box.left - 1 || bx > box.right + 1 || out.some(t => Math.abs(t.x - bx) < 62)) continue;
    out.push({step: best, x: bx});
  }
  return out;
}
function drawSteps(g) {
  for (const t of ticks()) {
    g.fillStyle = palette.faint; g.fillRect(Math.round(t.x), box.bottom, 1, 5);
    g.fillStyle = palette.hair;
    for (const r of rows) g.fillRect(Math.round(t.x), r.top, 1, r.height);
    write(g, steps(t.step, 4), Math.min(Math.max(t.x, box.left + 14), box.right - 14), box.bottom + 14, {align: 'center', mono: true, font: '10.5px'});
  }
  write(g, view.scale === linearScale ? 'Steps' : 'Steps (not to scale)', box.left - 10, box.bottom + 14, {align: 'right'});
}
function drawRow(g, r) {
  const width = box.right - box.left, mid = r.top + r.height / 2;
  g.fillStyle = palette.hair; g.fillRect(box.left, r.top + r.height, width, 1);
  clip(g, box.left, r.top - 4, width, r.height + 6, () => rowDrawers[r.id](g, r, width));
  const two = r.height > 23;   // what is drawn may have given it another unit
  write(g, r.label, 12, two ? mid - 7 : mid, {colour: palette.ink, font: '11.5px'});
  write(g, r.unit, two ? 12 : box.left - 10, two ? mid + 8 : mid, {font: '10.5px', align: two ? 'left' : 'right'});
}
const empty = (g, r, text) => write(g, text, box.left + 6, r.top + r.height / 2, {font: '11px', colour: palette.faint});
const rowDrawers = {
  writes(g, r, width) {
    const column = 3, count = Math.ceil(width / column), bins = Array.from({length: count}, () => new Map());
    for (const w of writes) {
      if (view.origin !== null && w.origin !== view.origin) continue;
      const a = Math.floor((xOf(w.begin) - box.left) / column), b = Math.floor((xOf(w.end) - box.left) / column), n = Math.max(1, b - a + 1);
      for (let i = Math.max(0, a); i <= Math.min(b, count - 1); i++) bins[i].set(w.origin, (bins[i].get(w.origin) ?? 0) + w.count / n);
    }
    const most = Math.max(0, ...bins.map(b => [...b.values()].reduce((x, y) => x + y, 0)));
    if (!most) return empty(g, r, 'no stores to tables here');
    r.unit = `a column: up to ${grouped(most)}`;
    bins.forEach((b, i) => {
      let y = r.top + r.height;
      for (const [origin, n] of [...b].sort((p, q) => (originRank[p[0]] ?? 99) - (originRank[q[0]] ?? 99))) {
        const h = Math.max(1, n / most * r.height);
        g.fillStyle = palette[originColour(origin)]; g.fillRect(box.left + i * column, y - h, column - .5, h); y -= h;
      }
    });
  },
  sizes(g, r) {
    const {points, most, shift} = r.series;
    g.beginPath(); g.moveTo(box.left, r.top + r.height);
    let last = r.top + r.height;
    for (const [step, n] of points) { const x = xOf(step), y = r.top + r.height - n / (most || 1) * (r.height - 2); g.lineTo(x, last); g.lineTo(x, y); last = y; }
    g.lineTo(box.right, last); g.lineTo(box.right, r.top + r.height); g.closePath();
    g.fillStyle = palette[{12: '--c0', 21: '--c3', 30: '--c2'}[shift] ?? '--c8']; g.fill();
  },
  gaps(g, r) {
    const shown = gaps.filter(x => x.space === view.space && (view.origin === null || x.origin === view.origin));
    if (!shown.length) return empty(g, r, 'no present entry was changed or removed: nothing had to be invalidated');
    const high = Math.log10(END + 1);
    for (const x of shown) {
      const px = xOf(x.begin), y = x.steps === FOREVER ? r.top + 3 : r.top + r.height - Math.log10(x.steps + 1) / high * (r.height - 8);
      g.fillStyle = palette[x.steps === FOREVER ? (x.entered ? 'error' : 'warning') : x.entered ? 'warning' : 'accent'];
      g.beginPath(); if (x.steps === FOREVER) { g.moveTo(px - 4, y + 3); g.lineTo(px + 4, y + 3); g.lineTo(px, y - 4); } else g.arc(px, y, Math.min(5, 2 + Math.log10(x.count + 1)), 0, 7); g.fill();
    }
  },
  exits(g, r, width) {
    const over = data.meta.vm_exits_over_time;
    if (exitTotal) {
      const column = 3, bins = new Array(Math.ceil(width / column)).fill(0);
      for (const list of Object.values(over.exits)) for (const [bin, n] of list) {
        const i = Math.floor((xOf(Math.min(END, (bin + .5) * over.steps_per_bin)) - box.left) / column);
        if (i >= 0 && i < bins.length) bins[i] += n;
      }
      const most = Math.max(1, ...bins);
      g.fillStyle = palette['--c5'];
      bins.forEach((n, i) => { if (n) { const h = Math.max(2, Math.log2(1 + n) / Math.log2(1 + most) * r.height); g.fillRect(box.left + i * column, r.top + r.height - h, column - .5, h); } });
      r.unit = `${grouped(exitTotal)}; a column: up to ${grouped(most)}, log`;
    } else if (!data.entries.length) empty(g, r, 'no guest was entered up to here');
    for (const [step] of data.entries) { const x = xOf(step); g.fillStyle = palette.accent; g.fillRect(x, r.top - 2, 1.5, r.height + 2); }
    if (data.entries.length) write(g, 'first entry', xOf(data.entries[0][0]) - 5, r.top + r.height - 7, {align: 'right', font: '10px', colour: palette.accent});
  },
  flushes(g, r) {
    if (!data.invalidations.length) return empty(g, r, 'none');
    g.fillStyle = palette.accent;
    for (const [step] of data.invalidations) g.fillRect(xOf(step), r.top, 1, r.height);
  },
  faults(g, r) {
    if (!data.faults.length) return empty(g, r, 'none');
    g.fillStyle = palette.error;
    for (const [step] of data.faults) g.fillRect(xOf(step) - 1, r.top, 2.5, r.height);
  },
};
function drawCursor() {
  const g = view.print ? ui.base.getContext('2d') : surface(ui.overlay, box.height), c = view.cursor;   // paper has one layer
  if (view.drag) { g.fillStyle = palette.accent; g.globalAlpha = .16; const d = view.drag; g.fillRect(Math.min(d.x0, d.x1), Math.min(d.y0, d.y1), Math.abs(d.x1 - d.x0), Math.abs(d.y1 - d.y0)); g.globalAlpha = 1; }
  const step = c ? c.step : END;
  box.strips.forEach((s, n) => {
    const x = box.right + 9 + n * 34;
    clip(g, x, box.top + 1, 26, box.bottom - box.top - 2, () => {
      for (const r of bySpace[s]) if (r.begin <= step && step < r.end) { const y = yOf(r.first); fillRect(g, r, x, y, 26, Math.max(1, yOf(r.last + 1) - y), false); }
    });
  });
  if (!c) return;
  const x = Math.round(xOf(c.step)) + .5, y = Math.round(Math.min(yOf(c.page) + Math.max(0, yOf(c.page + 1) - yOf(c.page)) / 2, box.bottom - 1)) + .5;
  g.strokeStyle = palette.cursor; g.lineWidth = 1; g.setLineDash(view.held ? [] : [4, 3]);
  g.globalAlpha = .75;
  if (x >= box.left && x <= box.right) { g.beginPath(); g.moveTo(x, 2); g.lineTo(x, box.height - 6); g.stroke(); }
  if (y >= box.top && y <= box.bottom) { g.beginPath(); g.moveTo(box.left - 88, y); g.lineTo(view.width - 6, y); g.stroke(); }
  g.globalAlpha = 1; g.setLineDash([]);
}
