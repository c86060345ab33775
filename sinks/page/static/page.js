// Enhancements only: without this file every control is a link or a form.
// Text is inserted as text nodes and attributes, never as markup, and nothing sets a style attribute.
const root = document.documentElement;
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const clamp = (number, low, high) => Math.min(high, Math.max(low, number));
root.classList.add('script');

// ---- ratings cards: Escape hides an open one until the pointer or the focus moves on (WCAG 1.4.13)

const tips = (off) => root.classList.toggle('tips-off', off);
addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  tips(true);
  for (const picker of all('.picker[open]')) {
    const inside = picker.contains(document.activeElement);
    picker.open = false;
    if (inside) picker.querySelector('summary').focus();
  }
});
addEventListener('focusin', () => tips(false));
addEventListener('pointerover', (event) => { if (!event.target.closest?.('.ratings')) tips(false); });
addEventListener('pointerdown', (event) => {
  for (const picker of all('.picker[open]')) if (!picker.contains(event.target)) picker.open = false;
});

// ---- bars: one tab stop, arrow keys move between segments

const stops = (bars) => all('svg [tabindex]', bars);
const rove = (bars, to) => stops(bars).forEach((stop) => stop.setAttribute('tabindex', stop === to ? 0 : -1));
addEventListener('focusin', (event) => {
  const stop = event.target.closest?.('.bars svg [tabindex]');
  if (stop) rove(stop.closest('.bars'), stop);
});
addEventListener('keydown', (event) => {
  const stop = event.target.closest?.('.bars svg [tabindex]');
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!stop || !step) return;
  const list = stops(stop.closest('.bars'));
  const next = list[list.indexOf(stop) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// ---- search, without a request; the form does the same

const filter = () => {
  for (const input of all('[data-filter]')) {
    const body = document.getElementById(input.dataset.filter);
    if (!body) continue;
    const part = input.value.trim().toLowerCase();
    const rows = all('tr', body);
    for (const row of rows) row.hidden = !row.dataset.name.includes(part);
    document.getElementById(`${input.dataset.filter}-none`).hidden = rows.some((row) => !row.hidden);
  }
};
addEventListener('input', (event) => { if (event.target.matches('[data-filter]')) filter(); });

// ---- threshold what-if: the data is the table of all thresholds

const whatIf = (lab) => {
  const slider = lab.querySelector('input[type="range"]');
  const rows = all('[data-sweep] tbody tr', lab);
  const place = (cut) => (cut - Number(slider.min)) / ((Number(slider.max) - Number(slider.min)) || 1);
  const row = rows[clamp(Math.round(place(Number(slider.value)) * (rows.length - 1)), 0, rows.length - 1)];
  if (!row) return;
  const [cut, , fn, fp, , alignment, change] = all('th, td', row).map((cell) => cell.textContent);
  const cells = all('[data-row] td', lab);
  [`${lab.dataset.op} ${cut}`, fp, fn, alignment, change].forEach((text, index) => { cells[index].textContent = text; });
  slider.setAttribute('aria-valuetext', `${cut}: alignment ${alignment}, ${fp} false positives, ${fn} false negatives`);
  const at = Number(row.dataset.at);
  lab.querySelector('[data-low]').setAttribute('width', at * 1000);
  lab.querySelector('[data-high]').setAttribute('x', at * 1000);
  lab.querySelector('[data-high]').setAttribute('width', 1000 - at * 1000);
  for (const end of ['x1', 'x2']) lab.querySelector('[data-try]').setAttribute(end, `${at * 100}%`);
};
addEventListener('input', (event) => {
  const lab = event.target.closest('[data-whatif]');
  if (lab) whatIf(lab);
});

// ---- patching: the page takes over the differences of a newer rendering

const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key || '' : '');
const own = { details: ['open'], g: ['tabindex'], tr: ['hidden'] };

// A control that was used keeps its state when its attributes change. What the reader has entered and not yet applied
// stays; everything else, and after a choice all that the address states, takes the state of the newer rendering.
const stateOf = (control) => (control.type === 'checkbox' ? control.checked : control.value);
const defaultOf = (control) => {
  if (control.type === 'checkbox') return control.defaultChecked;
  if (control.localName === 'input') return control.defaultValue;
  return (control.querySelector('option[selected]') ?? control.options[0])?.value ?? '';
};
const isControl = (node) => node.matches('select, input:not([type="hidden"])');
const takes = (control, chosen) => {
  if (stateOf(control) === defaultOf(control)) return true;
  // A threshold that is tried is not a choice, and nobody loses the text that they are typing.
  return chosen && control.type !== 'range' && (control.localName === 'select' || control.type === 'checkbox' || control !== document.activeElement);
};

// A list keeps its order while the pointer or the focus is in it: nothing moves under a reader. What is new comes last.
let moved = 0;
const held = (list, targets) => {
  const places = new Map([...list.children].map((node, place) => [key(node), place]));
  const newer = targets.filter((node) => node.nodeType === Node.ELEMENT_NODE);
  const place = (node) => places.get(key(node)) ?? Infinity;
  const older = [...newer].sort((one, other) => (place(one) === place(other) ? 0 : place(one) - place(other)));
  moved += older.filter((node, index) => node !== newer[index]).length;
  return targets.map((node) => (node.nodeType === Node.ELEMENT_NODE ? older.shift() : node));
};

function patch(from, to, chosen) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  // The script owns the live line. Slow parts stay until they are requested again.
  if (from.hasAttribute('data-own') || (to.hasAttribute('data-lazy') && !from.hasAttribute('data-lazy'))) return;
  const taken = isControl(from) && takes(from, chosen);
  const kept = own[from.localName] ?? [];
  for (const { name } of [...from.attributes]) if (!kept.includes(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (!kept.includes(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  const keyed = new Map([...from.childNodes].map((node) => [key(node), node]));
  const reading = from.hasAttribute('data-hold') && !chosen && from.matches(':hover, :focus-within');
  let next = from.firstChild;
  for (const target of reading ? held(from, [...to.childNodes]) : [...to.childNodes]) {
    const name = key(target);
    const match = name ? keyed.get(name) : next;
    if (match && match.nodeName === target.nodeName && key(match) === name) {
      if (match === next) next = next.nextSibling;
      else from.insertBefore(match, next);
      patch(match, target, chosen);
    } else {
      from.insertBefore(document.importNode(target, true), next);
    }
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
  if (taken && stateOf(from) !== stateOf(to)) from[from.type === 'checkbox' ? 'checked' : 'value'] = stateOf(to);
}

const settle = () => {
  filter();
  all('[data-whatif]').forEach(whatIf);
  for (const bars of all('.bars')) if (!stops(bars).some((stop) => stop.matches(':focus'))) rove(bars, stops(bars)[0]);
};

// A link in the live line brings what the page holds back, so that no list changes under its reader.
const propose = (text) => {
  for (const offer of all('[data-offer]')) {
    offer.hidden = !text;
    offer.textContent = text;
  }
};

// How many comparisons of the list on this page a newer document counts differently; null where it does not count them.
const changes = (newer) => {
  const list = document.querySelector('[data-list]');
  if (!list?.dataset.numbers) return null;
  const { criterion, metric } = list.dataset;
  const numbers = JSON.parse(list.dataset.numbers);
  const metrics = newer.criteria.filter((each) => !criterion || each.criterion === criterion).flatMap((each) => each.metrics)
    .filter((each) => !metric || each.metric === metric).filter((each) => (criterion && metric) || !each.off_topic);
  const differences = Object.keys(numbers).map((outcome) => metrics.reduce((sum, each) => sum + each[outcome], -numbers[outcome]));
  const [more, fewer] = [1, -1].map((sign) => differences.reduce((sum, each) => sum + Math.max(0, sign * each), 0));
  return Math.max(more, fewer);
};

// Which items the list of a page has, and in which order.
const listed = (page) => [...page.querySelectorAll('.items > .item')].map(key).join('\n');

// The slow parts are requested after the rest has arrived, and again at most every ten seconds. Those of a very large
// queue may not be ready yet.
const light = (address) => {
  const url = new URL(address, location.href);
  url.searchParams.delete('more');
  return url.href;
};
let slow = 0;
const more = () => {
  const part = document.querySelector('#more');
  if (!part || (!part.hasAttribute('data-lazy') && !slow) || Date.now() - slow < 10000) return Promise.resolve();
  slow = Date.now();
  return refresh(part.dataset.more).then(() => {
    if (document.querySelector('#more[data-lazy]')) setTimeout(() => more().catch(() => {}), 10500);
    else if (awaited) { awaited = false; unfold(); }
  });
};

// An answer is dropped when a later choice has been made while it was under way.
let choices = 0;
async function refresh(address = light(location.href), chosen = false) {
  const made = choices;
  const response = await fetch(address, { headers: { Accept: 'text/html' } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  if (made !== choices) return page;
  const focused = document.activeElement;
  moved = 0;
  for (const part of ['.rail', '.main']) {
    const [from, to] = [document.querySelector(part), page.querySelector(part)];
    if (from && to) patch(from, to, chosen);
  }
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  settle();
  propose(moved ? `${moved} moved, show` : '');
  return page;
}

const go = (event, address) => {
  event.preventDefault();
  choices += 1;
  const made = choices;
  history.replaceState(null, '', address);
  refresh(address, true).then((page) => {
    const part = page.querySelector('#more[data-lazy]');
    if (!part || made !== choices) return null;
    slow = Date.now();
    return refresh(part.dataset.more, true);
  }).catch(() => location.assign(address));
};
addEventListener('click', (event) => {
  const link = event.target.closest?.('a[data-patch]');
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  go(event, link.href);
});
// A choice acts when it is made; without this script the form has a button.
addEventListener('change', (event) => {
  if (event.target.matches('select, input[type="checkbox"]') && event.target.form?.matches('[data-patch]')) event.target.form.requestSubmit();
});
// A choice applies by itself. The focus stays, because the page is patched.
addEventListener('change', (event) => {
  if (event.target.form?.matches('[data-auto]')) event.target.form.requestSubmit();
});
addEventListener('submit', (event) => {
  const form = event.target;
  if (!form.matches('[data-patch]')) return;
  const url = new URL(location.pathname, location.href);
  url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  url.hash = new URL(form.action).hash;
  go(event, url.href);
});

// ---- live line: time, age, pause, stale, offline

function live(form) {
  const state = form.querySelector('[data-live]');
  const time = form.querySelector('[data-time]');
  const ageText = form.querySelector('[data-age]');
  const button = form.querySelector('[data-pause]');
  const offer = form.querySelector('[data-offer]');
  // Where readers would lose their place, a link offers the newer state instead of showing it.
  const still = form.hasAttribute('data-still');
  const banner = document.querySelector('[data-banner]');
  const skew = Date.now() - Number(form.dataset.now);
  const staleAfter = Number(form.dataset.staleAfter);
  let asOf = Number(form.dataset.asOf) || null;
  let paused = form.hasAttribute('data-paused');
  let reason = form.dataset.staleReason;
  let ready = !form.hasAttribute('data-catching-up');
  let online = true;
  let busy = false;
  let due = false;
  let source = null;

  const age = () => Math.max(0, (Date.now() - skew - asOf) / 1000);
  const words = (seconds) => {
    for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
    return `${Math.floor(seconds)} s`;
  };
  const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
  const clock = () => new Date(asOf).toISOString().slice(11, 19);
  const upTo = () => (asOf ? `The numbers below are complete up to ${clock()} UTC.` : 'There are no numbers yet.');
  const announce = (tone, head, text) => {
    if (banner.textContent.trim() === (head ? `${head} ${text}` : '')) return;
    banner.replaceChildren();
    if (!head) return;
    const line = document.createElement('p');
    line.className = `banner ${tone}`;
    const strong = document.createElement('b');
    strong.textContent = head;
    line.append(strong, ` ${text}`);
    banner.append(line);
  };
  const show = () => {
    const stale = reason || !asOf || age() > staleAfter;
    const [word, off] = paused ? ['Paused', true] : !online ? ['Offline', true] : !ready ? ['Catching up', true] : stale ? ['Stale', true] : ['Live', false];
    if (state.textContent !== word) state.textContent = word;
    state.classList.toggle('off', off);
    if (asOf && time) {
      time.textContent = `${clock()} UTC`;
      time.setAttribute('datetime', new Date(asOf).toISOString());
      ageText.textContent = `${words(age())} ago`;
    }
    if (paused) announce();
    else if (!online) announce('untrusted', 'Connection lost', `${asOf ? `Showing the last numbers, as of ${clock()} UTC. ` : ''}Reconnecting automatically.`);
    else if (!ready) announce('undecided', 'Catching up', `The view is reading ${asOf ? 'what it missed' : 'its data'}. ${upTo()}`);
    else if (stale) announce('probation', 'Stale', `${sentence(reason || 'no new checkpoint arrives')} ${upTo()}`);
    else announce();
  };
  // One refresh at a time. Changes in the meantime cause one more, after a pause as long as the last refresh.
  const update = async () => {
    if (busy) { due = true; return; }
    busy = true;
    const began = Date.now();
    try {
      do {
        due = false;
        take(await refresh());
        await more();
        await new Promise((done) => setTimeout(done, Math.max(1000, Date.now() - began)));
      } while (due && !paused);
      online = true;
    } catch {
      online = false;
    }
    busy = false;
    show();
  };
  const received = (text) => {
    online = true;
    if (text) asOf = Date.parse(text);
  };
  // What a newer rendering of this page states about the view.
  const take = (page) => {
    const newer = page.querySelector('form.live');
    if (!newer) return;
    asOf = Number(newer.dataset.asOf) || asOf;
    reason = newer.dataset.staleReason;
    ready = !newer.hasAttribute('data-catching-up');
  };

  // Whether the list would change is asked at most every ten seconds.
  let asking = false, changedSince = false;
  const compare = async () => {
    if (asking) { changedSince = true; return; }
    if (!offer || !offer.hidden) return;
    asking = true;
    const made = choices;
    try {
      const response = await fetch(light(location.href), { headers: { Accept: 'text/html' } });
      const page = new DOMParser().parseFromString(await response.text(), 'text/html');
      if (response.ok && made === choices && listed(page) !== listed(document)) propose('Changed, show');
    } catch {
      // The stream reports a lost connection.
    }
    setTimeout(() => {
      asking = false;
      if (changedSince && !paused) { changedSince = false; compare(); }
    }, 10000);
  };

  const open = () => {
    if (!form.dataset.stream || source || paused) return;
    let first = true;
    source = new EventSource(form.dataset.stream);
    source.addEventListener('snapshot', (event) => {
      const snapshot = JSON.parse(event.data);
      received(snapshot.as_of);
      // The first document is the one of this page, unless the connection is new.
      if (!first || form.dataset.revision !== String(snapshot.revision)) {
        const number = still ? changes(snapshot) : 0;
        if (number === null) compare();
        else if (number) propose(`${number} changed, show`);
        else if (!still) update();
      }
      first = false;
      form.dataset.revision = snapshot.revision;
      show();
    });
    source.addEventListener('heartbeat', (event) => {
      const state = JSON.parse(event.data);
      ready = state.ready;
      reason = state.stale_reason;
      received(state.as_of);
      show();
    });
    source.addEventListener('error', () => {
      online = false;
      show();
      // A rejection ends the stream for good; after a lost connection the browser reconnects.
      if (source?.readyState === EventSource.CLOSED) { close(); setTimeout(open, 5000); }
    });
  };
  const close = () => {
    source?.close();
    source = null;
  };

  button?.addEventListener('click', () => {
    paused = !paused;
    button.textContent = paused ? 'Resume' : 'Pause';
    if (paused) close();
    else { open(); if (!still) update(); }
    show();
  });
  offer?.addEventListener('click', (event) => {
    event.preventDefault();
    button.focus({ preventScroll: true });
    update();
  });
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => { if (event.persisted) open(); });
  if (form.dataset.poll) {
    setInterval(() => { if (!paused && !document.hidden) update(); }, Number(form.dataset.poll) * 1000);
  }
  setInterval(show, 1000);
  open();
}

// A link may lead to a part that is folded, or that is one of the slow parts.
const linked = () => {
  try {
    return document.getElementById(decodeURIComponent(location.hash.slice(1)));
  } catch {
    // Half of an escape, such as `#%`.
    return null;
  }
};
const unfold = () => {
  const target = linked();
  for (let part = target; part; part = part.parentElement) if (part.localName === 'details') part.open = true;
  if (target) target.scrollIntoView();
};
addEventListener('hashchange', unfold);

settle();
let awaited = location.hash && !linked();
if (linked()?.closest('details:not([open])')) unfold();
more().catch(() => {});
all('form.live').forEach(live);
