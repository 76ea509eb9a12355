// SPDX-License-Identifier: GPL-2.0-or-later
// The page around the picture: controls, the panel at the cursor, tables, commands.
const $ = id => document.getElementById(id);
function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (v === null || v === undefined || v === false) continue;
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v); else if (k === 'style') e.style.cssText = v; else e.setAttribute(k, v === true ? '' : v);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined));
  return e;
}
const RUN = /^[\w@%+=:,./-]+$/.test(data.meta.run) ? data.meta.run : `'${data.meta.run.replace(/'/g, `'\\''`)}'`;
const BARE = RUN.replace(/@[^@/]*$/, '');
async function copy(text, button) {
  let ok = true;
  try { await navigator.clipboard.writeText(text); }
  catch {
    const area = el('textarea', {style: 'position:fixed;opacity:0'}); area.value = text; document.body.append(area); area.select();
    ok = document.execCommand('copy'); area.remove();
  }
  button.textContent = ok ? 'Copied' : 'Select it';
  setTimeout(() => { button.textContent = 'Copy'; }, 1400);
}
const command = text => el('div', {class: 'command'}, el('code', {}, text), el('button', {type: 'button', 'aria-label': `Copy: ${text}`, onclick: e => copy(text, e.currentTarget)}, 'Copy'));
const swatch = (colour, missing = 0) => {
  const lines = [];
  if (missing & 4) lines.push('repeating-linear-gradient(-45deg, var(--hatch) 0 1px, transparent 1px 4px)');
  if (missing & 2) lines.push('repeating-linear-gradient(45deg, var(--hatch) 0 1px, transparent 1px 4px)');
  if (missing & 1) lines.push('repeating-linear-gradient(0deg, var(--hatch) 0 1px, transparent 1px 4px)');
  return el('i', {class: 'swatch', 'aria-hidden': 'true', style: `background:${[...lines, `linear-gradient(${colour}, ${colour})`].join(',')}`});
};
const colourVariable = r => view.colour === 'origin' ? `var(${originColour(r.owner)})` : `var(--${memoryOf(r)})`;
const table = (heads, rows, extra = '') => el('table', {class: `data ${extra}`}, el('thead', {}, el('tr', {}, heads.map(([text, cls]) => el('th', {scope: 'col', class: cls}, text)))), el('tbody', {}, rows));
const nothing = text => el('p', {class: 'empty'}, text);
const chainList = chain => el('ol', {class: 'chain'}, (data.chains[chain] ?? []).map(n => el('li', {}, name(n))));
const originText = n => data.origins[n]?.[0] ?? 'unknown';
const jump = (step, page, text) => el('button', {type: 'button', class: 'link num', title: 'Put the cursor here', onclick: () => goTo(step, page)}, text ?? grouped(step));

// ---- cursor ----
/** Shows these tables; of tables that EPT and VT-d share, the EPT, which says more. */
function select(space) {
  if (space === undefined || space === null || !data.spaces[space]) return;
  const shown = data.spaces[space].shared_with ?? space;
  if (shown === view.space || space === view.space) return;
  view.space = shown; $('space').value = shown; legend();
}
function goTo(step, page, space) {
  select(space);
  view.cursor = {step: Math.min(Math.max(0, Math.round(step)), END), page: page ?? view.cursor?.page ?? 0};
  view.held = true;
  const t = view.scale.at(view.cursor.step), a = addressScale.at(view.cursor.page);
  if (t < view.x0 || t > view.x1 || a < view.y0 || a > view.y1) Object.assign(view, {x0: 0, x1: 1, y0: 0, y1: 1});
  draw(); panel(); say();
  $('stage').scrollIntoView({block: 'nearest'});
}
function say() {
  const c = view.cursor;
  if (c) $('live').textContent = `Page ${hex(c.page)}, step ${grouped(c.step)}: ${mappingText(at(view.space, c.page, c.step))}`;
}
function lane(label, swatchElement, ...content) { return el('tr', {}, el('th', {scope: 'row'}, label), el('td', {}, swatchElement, ...content)); }
const rowOf = r => r ? swatch(colourVariable(r), (isEpt(r.space) ? 7 : 3) & ~r.state[3]) : swatch('var(--hole)');
/** E820, what the platform has there, every EPT, every group of devices: what each says of this address at this step. */
function lanes(c) {
  const out = [], kinds = e820At(c.page), regions = regionsAt(c.page);
  out.push(lane('E820', kinds.length ? swatch(`var(--${E820_COLOUR[kinds[0]] ?? 'unusable'})`) : swatch('var(--hole)'), kinds.join(' and ') || 'not in it'));
  const rmrr = regions.filter(r => r[2] === 'RMRR'), other = regions.filter(r => r[2] !== 'RMRR');
  out.push(lane('RMRR', swatch(rmrr.length ? 'var(--rmrr)' : 'var(--hole)'), rmrr.map(r => r[3]).join('; ') || 'none'));
  out.push(lane('BAR, registers', swatch(other.length ? 'var(--device)' : 'var(--hole)'), other.map(r => r[3]).join('; ') || 'none'));
  data.spaces.forEach((s, n) => {
    if (s.format !== 'EPT') return;
    const r = at(n, c.page, c.step);
    out.push(lane(`EPT ${s.root}`, rowOf(r), c.step < s.step ? 'not there yet' : r ? `${targetText(r, c.page)}, ${mappingText(r)}` : 'not mapped'));
  });
  for (const group of deviceGroups) {
    const what = tablesAt(group, c.step), label = `VT-d ${group.devices.slice(0, 4).join(' ')}${group.devices.length > 4 ? ` and ${group.devices.length - 4} more` : ''}`;
    if (typeof what !== 'number') { out.push(lane(label, swatch('var(--hole)'), what ?? 'unknown')); continue; }
    const r = at(what, c.page, c.step), shared = data.spaces[what]?.shared_with;
    const cells = [r ? `${targetText(r, c.page)}, ${mappingText(r)}` : 'not mapped'];
    const epts = data.spaces.map((s, n) => n).filter(n => isEpt(n) && data.spaces[n].step <= c.step);
    if (shared !== null && shared !== undefined) cells.push(el('div', {class: 'agrees'}, `the tables of EPT ${data.spaces[shared].root}`));
    else if (epts.length === 1) {
      const e = at(epts[0], c.page, c.step);
      if (!e !== !r) cells.push(el('div', {class: 'differs'}, e ? 'EPT maps it' : 'EPT does not map it'));
      else if (e && targetOf(e, c.page) !== targetOf(r, c.page)) cells.push(el('div', {class: 'differs'}, 'another target than in EPT'));
      else if (e && (e.state[3] & 3) !== (r.state[3] & 3)) cells.push(el('div', {class: 'differs'}, 'another access than in EPT'));
      else if (e) cells.push(el('div', {class: 'agrees'}, 'as in EPT'));
    }
    out.push(lane(label, rowOf(r), ...cells));
  }
  return el('table', {class: 'lanes'}, el('tbody', {}, out));
}
function historyList(c) {
  const all = historyOf(view.space, c.page);
  if (!all.length) return el('p', {class: 'hint'}, 'Nothing ever asked for this page.');
  const shown = all.slice(-14);
  const item = h => {
    const now = h.rect && h.rect.begin <= c.step && c.step < h.rect.end;
    const text = h.refused ? [h.refused.result === 'never returned' ? 'never returned: ' : 'refused: ', h.refused.text, h.refused.result === 'never returned' ? '' : ` ${h.refused.result}`] : h.mark ? ['the same again'] : h.removed ? ['removed'] :
      [h.rect.linked ? 'linked, ' : '', `${KIND[h.rect.kind]}: ${targetText(h.rect, c.page)}, ${mappingText(h.rect)}`];
    const who = h.refused?.origin ?? h.mark?.origin ?? h.rect?.origin;
    return el('li', {class: now ? 'now' : ''}, el('button', {type: 'button', onclick: () => goTo(h.step, c.page)}, el('span', {class: 'num'}, grouped(h.step)),
      el('span', {class: h.refused ? 'differs' : ''}, ...text, who !== undefined ? el('span', {class: 'source'}, ` ${originText(who)}`) : '')));
  };
  return el('ol', {class: 'history'}, all.length > shown.length ? el('li', {class: 'hint'}, `${all.length - shown.length} earlier ones: see blame`) : null, shown.map(item));
}
function panel() {
  cycleCursor();
  const c = view.cursor, to = $('panel');
  $('held').hidden = !view.held;
  if (!c) { to.replaceChildren(el('p', {class: 'hint'}, data.spaces.length ? 'Move over the map, or give it the focus and use the arrow keys.' : 'There are no tables to inspect. E820 and devices stand at the left of the map.')); return; }
  const r = at(view.space, c.page, c.step), line = data.console[lineBefore(c.step)], phase = phaseAt(c.step);
  const parts = [el('dl', {class: 'where'}, el('dt', {}, 'Address'), el('dd', {}, address(c.page)), el('dt', {}, 'Frame'), el('dd', {}, hex(c.page)),
    el('dt', {}, 'Step'), el('dd', {class: 'num'}, grouped(c.step)), phase ? [el('dt', {}, 'Phase'), el('dd', {}, phase[2])] : [])];
  parts.push(el('h4', {}, 'Who says what'), lanes(c));
  if (r) {
    parts.push(el('h4', {}, `Range ${address(r.first)} to ${address(r.last).slice(0, -3)}fff (${bytes((r.last - r.first + 1) * PAGE)}), ${r.linked ? 'linked' : KIND[r.kind]} by`));
    parts.push(el('p', {}, el('button', {type: 'button', class: 'link', onclick: () => filter(r.origin)}, originText(r.origin)), data.origins[r.origin]?.[1] ? el('span', {class: 'source'}, ` ${data.origins[r.origin][1]}`) : '',
      ` at step ${grouped(r.begin)}`, r.owner !== r.origin ? `; mapped by ${originText(r.owner)}` : ''));
    if (data.chains[r.chain]?.length) parts.push(el('details', {}, el('summary', {}, 'Call chain'), chainList(r.chain)));
  }
  parts.push(el('h4', {}, 'This page over time'), historyList(c));
  if (line) parts.push(el('h4', {}, `Console, at step ${grouped(line[0])}`), el('p', {class: 'quote'}, line[1] || '(empty line)'));
  const vtd = view.space < data.spaces.length && !isEpt(view.space), device = data.spaces[view.space]?.devices[0];
  parts.push(el('h4', {}, 'Ask vitrine'), command(`vitrine blame ${BARE} ${vtd && device ? `iova:${hex(c.page * PAGE)}@${device}` : `gfn:${c.page.toString(16)}`}`),
    command(`vitrine map ${BARE}@${c.step} ${r ? `${hex(r.first * PAGE)}-${hex((r.last + 1) * PAGE - 1)}` : hex(c.page * PAGE)}`),
    command(`vitrine walk ${BARE}@${c.step} ${vtd && device ? `iova:${hex(c.page * PAGE)}@${device}` : `gpa:${hex(c.page * PAGE)}`}`));
  to.replaceChildren(...parts);
  const lines = $('console').querySelectorAll('button'), n = lineBefore(c.step);
  $('console').querySelector('.now')?.classList.remove('now');
  if (view.held) lines[n]?.classList.add('now');
}
let pending = false;
function moved() { if (!pending) { pending = true; requestAnimationFrame(() => { pending = false; drawCursor(); panel(); }); } }

// ---- view ----
function filter(origin) {
  view.origin = view.origin === origin ? null : origin;
  const chip = $('filter-chip');
  chip.hidden = view.origin === null;
  if (view.origin !== null) { chip.textContent = `Only ${originText(view.origin)} ✕`; chip.setAttribute('aria-label', `Remove the filter ${originText(view.origin)}`); }
  for (const row of document.querySelectorAll('tr.choose')) {
    row.dataset.on = String(+row.dataset.origin === view.origin);
    row.querySelector('button').setAttribute('aria-pressed', row.dataset.on);
  }
  for (const f of document.querySelectorAll('.finding')) f.style.opacity = view.origin === null || f.dataset.origins.split('\n').includes(originText(view.origin)) ? '' : '.4';
  draw(); legend();
}
function zoom(factor, cx, cy) {
  const limit = (a, b) => { const w = Math.min(1, Math.max(b - a, 1e-5)); let s = Math.max(0, Math.min(a, 1 - w)); return [s, s + w]; };
  const about = (a, b, c) => limit(c - (c - a) * factor, c + (b - c) * factor);
  [view.x0, view.x1] = about(view.x0, view.x1, cx); [view.y0, view.y1] = about(view.y0, view.y1, cy);
  draw();
}
const zoomAtCursor = factor => zoom(factor, view.cursor ? view.scale.at(view.cursor.step) : (view.x0 + view.x1) / 2, view.cursor ? addressScale.at(view.cursor.page) : (view.y0 + view.y1) / 2);
function showAll() { Object.assign(view, {x0: 0, x1: 1, y0: 0, y1: 1}); draw(); }
function segmented(id, choices, value, chosen) {
  $(id).append(...choices.map(([key, text]) => el('label', {}, el('input', {type: 'radio', name: id, value: key, checked: key === value, onchange: () => chosen(key)}), text)));
}
function legend() {
  const out = [], list = bySpace[view.space] ?? [], add = (colour, text, missing) => out.push(el('span', {}, swatch(colour, missing), text));
  if (view.colour === 'memory') for (const m of [...new Set(list.map(memoryOf))].sort()) add(`var(--${m})`, m === 'none' ? 'VT-d has no memory type' : m === 'pending' ? 'recalculation pending' : m);
  if (view.colour === 'type') for (const t of [...new Set(list.map(typeOf))].sort()) add(isEpt(view.space) ? `var(--c${typeRank[t] ?? 8})` : 'var(--none)', t);
  if (view.colour === 'origin') for (const o of [...new Set(list.map(r => r.owner))].sort((a, b) => (originRank[a] ?? 99) - (originRank[b] ?? 99))) add(`var(${originColour(o)})`, originText(o));
  if (view.colour === 'size') for (const s of [...new Set(list.map(r => r.state[6]))].sort()) add(`var(${{12: '--c0', 21: '--c3', 30: '--c2'}[s] ?? '--c8'})`, pageSize(s));
  const access = new Set(list.map(r => (isEpt(view.space) ? 7 : 3) & ~r.state[3]));
  for (const [bit, text] of [[4, 'not executable'], [2, 'not writable'], [1, 'not readable']]) if ([...access].some(a => a & bit)) add('var(--card)', text, bit);
  if (findings.length || refused.length) add('var(--error)', 'finding, refused call');
  if (data.rounding) out.push(el('span', {}, `rectangles of nearby steps are joined: begin and end are exact to ${grouped(data.rounding)} steps`));
  $('legend').replaceChildren(...out);
}

// ---- tables ----
function facts() {
  const count = s => findings.filter(f => f.severity === s).length, m = data.meta, dl = $('facts');
  const add = (label, value, cls) => dl.append(el('div', {}, el('dt', {}, label), el('dd', {class: cls}, value)));
  add('errors', grouped(count('error')), count('error') ? 'error' : 'good'); add('warnings', grouped(count('warning')), count('warning') ? 'warning' : '');
  const never = refused.filter(a => a.result === 'never returned').length, no = data.attempts.functions.reduce((s, f) => s + f[2], 0);
  add(never ? 'refused or open calls' : 'refused calls', grouped(no + never), no + never ? 'error' : '');
  add('stores to tables', grouped(data.counts.stores)); add('mapping changes', grouped(data.counts.changes));
  if (exitTotal !== undefined) add('VM exits', grouped(exitTotal));
  add('steps', steps(END, 1));
  const guest = m.guest?.hypervisor === 'xen' ? 'Xen' : 'Software', file = m.inputs?.find(i => i.role === 'kernel' || i.role === 'firmware')?.file.split('/').pop();
  $('title').textContent = `${guest} on ${m.platform}: who mapped what`;
  const end = m.end ?? {};
  $('subtitle').textContent = [file, m.platform_text, `ended at step ${grouped(END)}${end.reason ? `: ${end.reason}${end.what ? ` (${end.what})` : ''}` : ''}`].filter(Boolean).join(' · ');
}
function evidenceBy(origin, chain) {
  const who = `by ${originText(origin)}${data.origins[origin]?.[1] ? `, ${data.origins[origin][1]}` : ''}`;
  return data.chains[chain]?.length ? el('details', {}, el('summary', {}, who), chainList(chain)) : el('span', {class: 'source'}, ` ${who}`);
}
function findingList() {
  const to = $('findings');
  $('findings-hint').textContent = findings.length ? 'With the evidence and the walk of the tables at that moment.' : '';
  if (!findings.length) return to.append(nothing('None: every rule was checked over the whole run and has nothing to say. vitrine check names the rules, vitrine explain tells what each means.'));
  to.append(...findings.map((f, n) => {
    const body = el('div', {class: 'body'});
    if (f.explanation) body.append(el('p', {class: 'hint'}, f.explanation.split('`').map((t, i) => i % 2 ? el('code', {}, t) : t)));
    const range = f.last > f.first ? `${address(f.first)} to ${address(f.last).slice(0, -3)}fff` : address(f.first);
    body.append(el('h4', {}, 'Where'), el('p', {}, `${range}, ${bytes((f.last - f.first + 1) * PAGE)}${f.space !== null ? `, in ${spaceName(f.space)}` : ''}${f.count > 1 ? `; ${grouped(f.count)} findings alike joined` : ''}`));
    if (f.evidence.length) body.append(el('h4', {}, 'Evidence, in order'), el('table', {class: 'lines'}, el('tbody', {}, f.evidence.map(([step, text, origin, chain]) => el('tr', {}, el('td', {class: 'r'}, jump(step, f.first)),
      el('td', {}, text, evidenceBy(origin, chain)))))));
    if (f.walk.length) body.append(el('h4', {}, `Walk of ${address(f.first)} at that moment`), el('table', {class: 'lines'}, el('tbody', {}, f.walk.map(([level, where, entry, says]) =>
      el('tr', {}, el('td', {class: 'r'}, `level ${level}`), el('td', {}, where), el('td', {}, entry), el('td', {}, says))))));
    body.append(el('div', {class: 'actions'}, el('button', {type: 'button', onclick: () => goTo(f.step, f.first, f.space)}, 'Show on the map'), command(`vitrine blame ${BARE} gfn:${f.first.toString(16)}`),
      command(`vitrine map ${BARE}@${f.step} ${hex(f.first * PAGE)}`), command(`vitrine check ${BARE} --rule ${f.rule}`), command(`vitrine explain ${f.rule}`)));
    return el('details', {class: `finding ${f.severity}`, id: `finding-${f.number}`, 'data-origins': f.origins.join('\n'), open: n === 0 && f.severity === 'error'},
      el('summary', {}, el('span', {class: 'number'}, String(f.number)), el('span', {class: 'rule'}, f.rule), el('span', {class: 'text'}, f.text), el('span', {class: 'step'}, `${f.severity}, step ${grouped(f.step)}`)), body);
  }));
}
function originTable() {
  const list = originTotals.filter(o => o.writes || o.refused).sort((a, b) => b.writes - a.writes), most = Math.max(1, ...list.map(o => o.writes));
  if (!list.length) return $('origins').append(nothing('No store to a table of EPT or VT-d was recorded.'));
  $('origins').append(el('div', {class: 'scroll'}, table([['Function'], [''], ['Stores', 'r'], ['Mapped', 'r'], ['Changed', 'r'], ['Same', 'r'], ['Removed', 'r'], ['Refused', 'r'], ['From', 'r']],
    list.map(o => el('tr', {class: 'choose', 'data-origin': o.index, 'data-on': 'false', onclick: () => filter(o.index)},
      el('td', {class: 'name'}, el('button', {type: 'button', class: 'link', 'aria-pressed': 'false', onclick: e => { e.stopPropagation(); filter(o.index); }}, o.text), o.source ? el('div', {class: 'source'}, o.source) : ''),
      el('td', {class: 'bar'}, el('i', {style: `width:${100 * o.writes / most}%;background:var(${originColour(o.index)})`})), el('td', {class: 'r'}, grouped(o.writes)),
      ...[0, 2, 3, 1].map(k => el('td', {class: 'r'}, o.kinds[k] ? grouped(o.kinds[k]) : '–')), el('td', {class: 'r'}, o.refused ? grouped(o.refused) : '–'),
      el('td', {class: 'r'}, o.writes ? jump(o.begin, undefined, steps(o.begin, 1)) : '–'))))),
    el('p', {class: 'hint'}, `${grouped(data.counts.stores)} stores, ${grouped(data.counts.same_value)} of them with the value that was there. What is left over of a row are stores to tables that map nothing by themselves, and changes of attributes alone.`));
}
function attemptTable() {
  const to = $('attempts');
  if (!data.attempts.functions.length) return to.append(nothing('No calls were recorded: that needs the symbols of the software (--symbols, or beside the kernel).'));
  to.append(refused.length ? el('div', {class: 'scroll'}, table([['Step', 'r'], ['Call'], ['Result'], ['Asked by']], refused.slice(0, 200).map(a => el('tr', {}, el('td', {class: 'r'}, jump(a.step, Math.max(0, a.first))),
    el('td', {class: 'mono'}, a.text), el('td', {class: 'differs'}, a.result), el('td', {}, originText(a.origin)))))) : nothing('No call was refused, and each returned.'));
  to.append(table([['Function'], ['Calls', 'r'], ['Refused', 'r']], data.attempts.functions.map(([text, calls, no]) => el('tr', {}, el('td', {class: 'mono'}, text), el('td', {class: 'r'}, grouped(calls)), el('td', {class: 'r'}, no ? grouped(no) : '–')))));
}
function invalidationTable() {
  const to = $('invalidations'), by = new Map();
  for (const [step, what] of data.invalidations) { const k = name(what), v = by.get(k) ?? [0, step, step]; v[0]++; v[2] = step; by.set(k, v); }
  if (gaps.length) to.append(el('div', {class: 'scroll'}, table([['Changed at step', 'r'], ['Changes', 'r'], ['By'], ['Invalidated after', 'r']], gaps.slice(0, 300).map(x => el('tr', {}, el('td', {class: 'r'}, jump(x.begin)), el('td', {class: 'r'}, grouped(x.count)),
    el('td', {}, originText(x.origin)), el('td', {class: `r ${x.steps === FOREVER && x.entered ? 'differs' : ''}`}, x.steps === FOREVER ? (x.entered ? 'never; guest entered' : 'not up to the end') : `${grouped(x.steps)} steps${x.entered ? '; guest entered' : ''}`))))));
  to.append(by.size ? table([['Invalidation'], ['How often', 'r'], ['First at', 'r'], ['Last at', 'r']], [...by].map(([k, [n, a, b]]) => el('tr', {}, el('td', {}, k), el('td', {class: 'r'}, grouped(n)), el('td', {class: 'r'}, jump(a)), el('td', {class: 'r'}, jump(b))))) : nothing('Nothing was invalidated.'));
  if (!gaps.length) to.append(el('p', {class: 'hint'}, 'No entry that was in use was changed or removed, so no invalidation was due.'));
}
function deviceTable() {
  const to = $('devices');
  to.append(data.devices.length ? table([['Device'], ['What'], ['Tables, from step']], data.devices.map(d => el('tr', {}, el('td', {class: 'mono'}, d.bdf), el('td', {}, d.class),
    el('td', {}, d.tables.map(([step, what]) => el('div', {}, jump(step), ' ', typeof what === 'number' ? `${data.spaces[what].root}${data.spaces[what].shared_with !== null ? ` (those of EPT ${data.spaces[data.spaces[what].shared_with].root})` : ''}` : what)))))) : nothing('The platform has no PCI devices.'));
  to.append(data.faults.length ? el('div', {class: 'scroll'}, table([['Step', 'r'], ['Device'], ['Address'], ['Reason']], data.faults.slice(0, 300).map(([step, bdf, page, reason]) => el('tr', {}, el('td', {class: 'r'}, jump(step, page)), el('td', {class: 'mono'}, bdf), el('td', {class: 'mono'}, address(page)), el('td', {class: 'mono'}, hex(reason)))))) : nothing('No DMA was refused.'));
  if (exitTotal) to.append(table([['VM exits by reason'], ['How often', 'r']], exitTotals.map(([reason, n]) => el('tr', {}, el('td', {}, reason), el('td', {class: 'r'}, grouped(n))))));
  if (data.stale.length) to.append(el('p', {class: 'differs'}, `${plural(data.stale.length, 'use')} of a translation that its tables no longer have, first at step `, jump(data.stale[0][0], data.stale[0][1])));
}
function consoleList() {
  $('console').append(data.console.length ? el('div', {class: 'console', tabindex: '0', role: 'group', 'aria-label': 'Console lines'}, data.console.map(([step, text]) => el('button', {type: 'button', onclick: () => goTo(step)}, el('span', {class: 'num'}, grouped(step)), el('span', {}, text)))) : nothing('The serial port printed nothing.'));
}
function made() {
  const m = data.meta, quote = s => /^[\w@%+=:,./-]+$/.test(s) ? s : `'${s.replace(/'/g, `'\\''`)}'`;
  const rows = (m.inputs ?? []).map(i => el('tr', {}, el('td', {}, i.role), el('td', {class: 'mono'}, i.file ?? ''), el('td', {class: 'r'}, i.size !== undefined ? bytes(i.size) : ''), el('td', {class: 'mono'}, i.sha256 ?? '')));
  if (Array.isArray(m.arguments)) $('made').append(el('p', {class: 'hint'}, 'The run is a function of its inputs alone: the same ones give the same steps and the same state.'), command(m.arguments.map(quote).join(' ')));
  $('made').append(command(`vitrine report ${RUN}`));
  if (rows.length) $('made').append(table([['Input'], ['File'], ['Size', 'r'], ['SHA-256']], rows));
  $('footer').textContent = [`vitrine ${m.version}`, m.state_hash ? `state at the end ${m.state_hash}` : '', m.guest?.build_id ? `build id ${m.guest.build_id}` : '', `${grouped(data.counts.events)} events`].filter(Boolean).join(' · ');
}

// ---- input ----
function pointAt(e) {
  const b = $('stage').getBoundingClientRect();
  return {x: e.clientX - b.left - $('stage').clientLeft, y: e.clientY - b.top - $('stage').clientTop};
}
function cursorAt(p) {
  const x = Math.min(Math.max(p.x, box.left), box.right), inMap = p.y >= box.top && p.y <= box.bottom;
  return {step: Math.min(END, Math.max(0, Math.round(stepAt(x)))), page: inMap ? pageAt(p.y) : view.cursor?.page ?? 0};
}
/** Snaps to what is drawn under the pointer, so that a range one pixel wide can be read. */
function snapped(p) {
  const c = cursorAt(p);
  let best = null, close = 4;
  for (const f of findings) if (Math.abs(xOf(f.step) - p.x) < close + 4 && Math.abs(yOf(f.first) - p.y) < 9) best = {step: f.step, page: f.first, finding: f};
  return best ?? c;
}
function listen() {
  const stage = $('stage');
  stage.addEventListener('pointermove', e => {
    const p = pointAt(e);
    if (view.drag) { view.drag.x1 = p.x; view.drag.y1 = p.y; }
    else if (view.held) return;
    else view.cursor = cursorAt(p);
    moved();
  });
  stage.addEventListener('pointerdown', e => { if (e.button === 0 && e.pointerType === 'mouse') { const p = pointAt(e); view.start = p; view.drag = null; stage.setPointerCapture(e.pointerId);
    stage.addEventListener('pointermove', function begin(m) { const q = pointAt(m); if (!view.start) return stage.removeEventListener('pointermove', begin); if (Math.hypot(q.x - p.x, q.y - p.y) > 6 && !view.drag) view.drag = {x0: p.x, y0: p.y, x1: q.x, y1: q.y}; }); } });
  stage.addEventListener('pointerup', e => {
    const p = pointAt(e), d = view.drag;
    view.drag = null; view.start = null;
    if (d) {
      const t = x => view.x0 + (Math.min(Math.max(x, box.left), box.right) - box.left) / (box.right - box.left) * (view.x1 - view.x0), a = y => view.y0 + (Math.min(Math.max(y, box.top), box.bottom) - box.top) / (box.bottom - box.top) * (view.y1 - view.y0);
      const x = [t(d.x0), t(d.x1)].sort((m, n) => m - n), y = [a(d.y0), a(d.y1)].sort((m, n) => m - n);
      if (x[1] - x[0] > 1e-5 && Math.abs(d.x1 - d.x0) > 8) [view.x0, view.x1] = x;
      if (y[1] - y[0] > 1e-5 && Math.abs(d.y1 - d.y0) > 8) [view.y0, view.y1] = y;
      draw();
    } else if (e.button === 0) {
      const c = snapped(p), same = view.held && view.cursor && Math.hypot(xOf(view.cursor.step) - p.x, 0) < 3;
      view.held = !same; view.cursor = {step: c.step, page: c.page};
      if (c.finding) { const f = $(`finding-${c.finding.number}`); f.open = true; }
      drawCursor(); panel(); say();
    }
  });
  stage.addEventListener('pointercancel', () => { view.drag = null; view.start = null; drawCursor(); });
  stage.addEventListener('dblclick', showAll);
  stage.addEventListener('wheel', e => {
    if (!e.ctrlKey && !e.metaKey) return;   // the page scrolls
    e.preventDefault();
    const p = pointAt(e);
    zoom(e.deltaY > 0 ? 1.25 : .8, view.x0 + (p.x - box.left) / (box.right - box.left) * (view.x1 - view.x0), view.y0 + (p.y - box.top) / (box.bottom - box.top) * (view.y1 - view.y0));
  }, {passive: false});
  let nextFinding = 0;
  stage.addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const c = view.cursor ?? {step: Math.round(stepAt((box.left + box.right) / 2)), page: pageAt((box.top + box.bottom) / 2)}, list = bySpace[view.space] ?? [];
    const across = sign => {
      if (e.shiftKey) return {...c, step: Math.min(END, Math.max(0, Math.round(stepAt(xOf(c.step) + sign))))};
      const all = new Set([0, END]);
      for (const h of historyOf(view.space, c.page)) all.add(h.step);
      const sorted = [...all].sort((a, b) => a - b);
      return {...c, step: sign > 0 ? sorted.find(s => s > c.step) ?? END : sorted.reverse().find(s => s < c.step) ?? 0};
    };
    const down = sign => {
      if (e.shiftKey) return {...c, page: pageAt(yOf(c.page) + sign)};
      const all = new Set(addressScale.bands.map(b => b.first));
      for (const r of list) if (r.begin <= c.step && c.step < r.end) all.add(r.first);
      const sorted = [...all].sort((a, b) => a - b);
      return {...c, page: sign > 0 ? sorted.find(p => p > c.page) ?? c.page : sorted.reverse().find(p => p < c.page) ?? 0};
    };
    const keys = {ArrowRight: () => across(1), ArrowLeft: () => across(-1), ArrowDown: () => down(1), ArrowUp: () => down(-1), Home: () => ({...c, step: 0}), End: () => ({...c, step: END})};
    if (keys[e.key]) { view.cursor = keys[e.key](); view.held = true; }
    else if (e.key === '+' || e.key === '=') zoomAtCursor(.6);
    else if (e.key === '-') zoomAtCursor(1 / .6);
    else if (e.key === '0') showAll();
    else if (e.key === 'Enter' || e.key === ' ') { view.cursor = c; view.held = !view.held; }
    else if (e.key === 'Escape') { if (view.drag) view.drag = null; else if (view.held) view.held = false; else if (view.origin !== null) filter(view.origin); }
    else if (e.key === 'f' && findings.length) { const f = findings[nextFinding++ % findings.length]; $(`finding-${f.number}`).open = true; return goTo(f.step, f.first, f.space); }
    else return;
    e.preventDefault();
    drawCursor(); panel(); say();
  });
  const fit = () => { const w = Math.max(560, $('stage').clientWidth); if (!view.print && w !== view.width) { view.width = w; draw(); } };
  new ResizeObserver(fit).observe($('stage'));
  view.width = Math.max(560, $('stage').clientWidth);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  // Paper is light and wide, whatever the screen is; what is folded away would be lost on it.
  const light = [...document.styleSheets].flatMap(s => [...s.cssRules]).filter(r => r.media && r.media.mediaText.includes('dark'));
  let folded = [];
  addEventListener('beforeprint', () => {
    for (const r of light) r.media.mediaText = 'not all';
    folded = [...document.querySelectorAll('.finding:not([open])')].slice(0, 40); for (const d of folded) d.open = true;
    view.print = true; view.screenWidth = view.width; view.width = 1040; draw();
    $('overlay').hidden = true;
  });
  addEventListener('afterprint', () => {
    for (const r of light) r.media.mediaText = '(prefers-color-scheme: dark)';
    for (const d of folded) d.open = false;
    view.print = false; view.width = view.screenWidth; $('overlay').hidden = false; draw();
  });
  $('zoom-in').addEventListener('click', () => zoomAtCursor(.6)); $('zoom-out').addEventListener('click', () => zoomAtCursor(1 / .6)); $('zoom-reset').addEventListener('click', showAll);
  $('filter-chip').addEventListener('click', () => filter(view.origin));
}
function start() {
  $('space').append(...data.spaces.map((_, n) => el('option', {value: n}, spaceName(n) + (data.spaces[n].shared_with !== null ? ' (those of EPT)' : ''))));
  if (!data.spaces.length) { $('space').append(el('option', {}, 'none')); $('space').disabled = true; }
  $('space').addEventListener('change', () => { view.space = +$('space').value; draw(); legend(); panel(); });
  segmented('colour', [['memory', 'Memory type'], ['type', data.meta.words === 'xen' ? 'p2m type' : 'Type'], ['origin', 'Origin'], ['size', 'Page size']], 'memory', v => { view.colour = v; draw(); legend(); panel(); });
  segmented('scale', [['activity', 'By activity'], ['linear', 'Linear']], 'activity', v => { view.scale = v === 'linear' ? linearScale : activityScale; Object.assign(view, {x0: 0, x1: 1}); draw(); });
  facts(); cycleSection(); findingList(); originTable(); attemptTable(); invalidationTable(); deviceTable(); consoleList(); made(); listen();
  const first = findings[0];
  if (first) { view.cursor = {step: first.step, page: first.first}; view.held = true; select(first.space); }
  else if (rects.length) {   // nothing stands out: the page of which most is known, at the end
    const count = new Map();
    for (const r of bySpace[0] ?? []) count.set(r.first, (count.get(r.first) ?? 0) + 1);
    const [page] = [...count].reduce((a, b) => b[1] > a[1] ? b : a, [rects[0].first, 0]);
    view.cursor = {step: END, page};
  }
  draw(); legend(); panel();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}
start();
