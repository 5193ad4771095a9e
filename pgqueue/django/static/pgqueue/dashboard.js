/* The charts of the dashboard. Figures come with the page and are asked for again while it is
   visible. Names of queues are only ever set as text. */
document.addEventListener("DOMContentLoaded", function () {
  "use strict";
  const root = document.querySelector(".pgq-dashboard");
  if (!root || !window.uPlot) return;
  const words = JSON.parse(document.getElementById("pgq-words").textContent);
  const span = new URLSearchParams(window.location.search).get("span") || "5m";
  const every = span === "5m" ? 2000 : 10000;
  const MOST_SAMPLES = 900;
  const MOST_LINES = 8;
  const KEY = "pgqueue-samples";
  const charts = {};
  // The language of the page, and the time zone of its other times, not those of the browser.
  const language = document.documentElement.lang || undefined;
  const zone = known(root.dataset.zone);
  let figures = JSON.parse(document.getElementById("pgq-figures").textContent);
  let samples = remembered();
  let timer = null;

  function known(name) {
    try {
      return new Intl.DateTimeFormat(language, { timeZone: name }).resolvedOptions().timeZone;
    } catch (error) {
      return undefined;
    }
  }

  function clock(at, options) {
    const words = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: zone };
    return new Date(at * 1000).toLocaleTimeString(language, Object.assign(words, options));
  }

  function day(at) {
    return new Date(at * 1000).toLocaleDateString(language, { day: "numeric", month: "short", timeZone: zone });
  }

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function seconds(value) {
    if (value === null || value === undefined) return "–";
    if (value < 0.0005) return "0 ms";
    if (value < 1) return (value * 1000).toFixed(value < 0.01 ? 1 : 0) + " ms";
    if (value < 60) return value.toFixed(1) + " s";
    if (value < 3600) return Math.round(value / 60) + " min";
    if (value < 86400) return (value / 3600).toFixed(1) + " h";
    return (value / 86400).toFixed(1) + " d";
  }

  function number(value) {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    if (value < 10 && !Number.isInteger(value)) return value.toFixed(2);
    return Math.round(value).toLocaleString(language);
  }

  // What has been seen of queues and workers since the page was opened: there is no history of it.
  function remembered() {
    try {
      const held = JSON.parse(window.sessionStorage.getItem(KEY) || "[]");
      const now = figures.at;
      return Array.isArray(held) ? held.filter((one) => now - one.at < 3600 && one.at < now) : [];
    } catch (error) {
      return [];
    }
  }

  function remember() {
    const ready = {};
    figures.queues.slice(0, 100).forEach((queue) => { ready[queue.queue] = queue.ready; });
    const last = samples[samples.length - 1];
    if (last && last.at >= figures.at) return;
    samples.push({
      at: figures.at,
      ready: ready,
      total: figures.queues.reduce((sum, queue) => sum + queue.ready, 0),
      slots: figures.workers.slots,
      running: figures.workers.running,
      workers: figures.workers.alive,
    });
    if (samples.length > MOST_SAMPLES) samples = samples.slice(-MOST_SAMPLES);
    try {
      window.sessionStorage.setItem(KEY, JSON.stringify(samples));
    } catch (error) {
      // Full, or not allowed: then they are forgotten with the page.
    }
  }

  function wholeBins() {
    const width = figures.bins.length > 1 ? figures.bins[1].at - figures.bins[0].at : 1;
    return figures.bins.filter((bin) => bin.seconds > width / 2);
  }

  function line(label, stroke, extra) {
    return Object.assign({ label: label, stroke: color(stroke), width: 1.5, points: { size: 4 } }, extra);
  }

  function filled(label, stroke) {
    return line(label, stroke, { fill: color(stroke) + "30" });
  }

  // The longest queues have a line each, all others together have one.
  function depth() {
    const peak = {};
    samples.forEach((one) => Object.keys(one.ready).forEach((name) => {
      peak[name] = Math.max(peak[name] || 0, one.ready[name]);
    }));
    const names = Object.keys(peak).filter((name) => peak[name] > 0)
      .sort((a, b) => peak[b] - peak[a]).slice(0, MOST_LINES);
    const rest = samples.map((one) => names.reduce((left, name) => left - (one.ready[name] || 0), one.total));
    const series = names.map((name, at) => line(name, "--pgq-c" + at));
    const data = names.map((name) => samples.map((one) => one.ready[name] || 0));
    if (rest.some((value) => value > 0) || !names.length) {
      series.push(line(names.length ? words.others : words.ready, "--pgq-c8"));
      data.push(rest);
    }
    return { key: names.join("\n") + (data.length > names.length), series: series, format: number,
             data: [samples.map((one) => one.at)].concat(data) };
  }

  const wanted = {
    rate: function () {
      const bins = wholeBins();
      return { key: "", format: number, series: [filled(words.succeeded, "--pgq-ok"), line(words.failed, "--pgq-bad")],
               data: [bins.map((b) => b.at), bins.map((b) => b.succeeded), bins.map((b) => b.failed)] };
    },
    failures: function () {
      const bins = wholeBins();
      return { key: "", format: number,
               series: [filled(words.failed, "--pgq-bad"), line(words.cancelled, "--pgq-mute"), line(words.expired, "--pgq-warn")],
               data: [bins.map((b) => b.at), bins.map((b) => b.failed * 60), bins.map((b) => b.cancelled * 60), bins.map((b) => b.expired * 60)] };
    },
    wait: function () {
      const bins = wholeBins();
      return { key: "", format: seconds, series: [line(words.median, "--pgq-c0"), line("95 %", "--pgq-c1")],
               data: [bins.map((b) => b.at), bins.map((b) => b.wait_p50), bins.map((b) => b.wait_p95)] };
    },
    run: function () {
      const bins = wholeBins();
      return { key: "", format: seconds, series: [line(words.median, "--pgq-c0"), line("95 %", "--pgq-c1")],
               data: [bins.map((b) => b.at), bins.map((b) => b.run_p50), bins.map((b) => b.run_p95)] };
    },
    depth: depth,
    workers: function () {
      return { key: "", format: number,
               series: [line(words.slots, "--pgq-mute"), filled(words.in_use, "--pgq-info"), line(words.workers, "--pgq-c3")],
               data: [samples.map((s) => s.at), samples.map((s) => s.slots), samples.map((s) => s.running), samples.map((s) => s.workers)] };
    },
  };

  function draw(name, anew) {
    const figure = root.querySelector('[data-chart="' + name + '"]');
    const want = wanted[name]();
    let held = charts[name];
    if (held && (anew || held.key !== want.key)) {
      held.plot.destroy();
      held = charts[name] = null;
    }
    const last = want.data[0].length ? want.data[0][want.data[0].length - 1] : figures.at;
    const shown = [Math.min(want.data[0].length ? want.data[0][0] : last, last - 60), last];
    if (held) {
      held.plot.setData(want.data, false);
      held.plot.setScale("x", { min: shown[0], max: shown[1] });
      rest(held.plot, want.data);
      return;
    }
    const days = shown[1] - shown[0] > 90000;
    const brief = shown[1] - shown[0] > 600 ? { second: undefined } : {};
    const when = (at) => days ? day(at) : clock(at, brief);
    const axis = { stroke: color("--body-quiet-color"), grid: { stroke: color("--pgq-grid"), width: 1 },
                   ticks: { stroke: color("--pgq-grid"), width: 1 } };
    const plot = new window.uPlot({
      width: Math.max(200, figure.clientWidth - 24),
      height: 190,
      // It empties its legend whenever it is drawn or resized.
      hooks: { setLegend: [(u) => rest(u, u.data)] },
      tzDate: (at) => zone ? window.uPlot.tzDate(new Date(at * 1000), zone) : new Date(at * 1000),
      cursor: { drag: { x: false, y: false }, sync: { key: "pgqueue" } },
      scales: { x: { min: shown[0], max: shown[1] }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [Object.assign({ space: 70, size: 34, values: (u, all) => all.map(when) }, axis), Object.assign({ size: 62, values: (u, all) => all.map(want.format) }, axis)],
      series: [{ label: words.time, value: (u, at) => at === null ? "–" : (days ? day(at) + " " : "") + clock(at) }]
        .concat(want.series.map((one) => Object.assign({ value: (u, value) => want.format(value) }, one))),
    }, want.data, figure);
    charts[name] = { plot: plot, key: want.key };
    rest(plot, want.data);
  }

  // While nobody points at it, the legend says what is now.
  function rest(plot, data) {
    if (plot.cursor.left < 0 || plot.cursor.idx === null) plot.setLegend({ idx: data[0].length - 1 }, false);
  }

  function drawAll(anew) {
    Object.keys(wanted).forEach((name) => draw(name, anew));
  }

  function put(id, text) {
    document.getElementById(id).textContent = text;
  }

  function tiles() {
    const bins = figures.bins.slice(-7, -1);
    const mean = (name) => bins.length ? bins.reduce((sum, bin) => sum + bin[name], 0) / bins.length : 0;
    const waits = figures.queues.filter((queue) => !queue.paused && queue.waits !== null).map((queue) => queue.waits);
    put("pgq-workers", number(figures.workers.alive) + (figures.workers.lost ? " + " + figures.workers.lost + " " + words.lost : ""));
    document.getElementById("pgq-workers").classList.toggle("pgq-error", !figures.workers.alive);
    put("pgq-slots", number(figures.workers.running) + " / " + number(figures.workers.slots));
    put("pgq-ready", number(figures.queues.reduce((sum, queue) => sum + queue.ready, 0)));
    put("pgq-rate", number(mean("succeeded") + mean("failed")));
    put("pgq-failures", number(mean("failed") * 60));
    put("pgq-waits", waits.length ? seconds(Math.max.apply(null, waits)) : "–");
  }

  function cell(row, text, kind) {
    const made = document.createElement(kind || "td");
    if (kind) made.scope = "row"; else made.className = "pgq-number";
    if (text !== undefined) made.textContent = text;
    row.appendChild(made);
    return made;
  }

  function queues() {
    const body = document.querySelector("#pgq-queues tbody");
    const part = document.getElementById("pgq-find").value.toLowerCase();
    const most = Math.max(1, ...figures.queues.map((queue) => queue.ready));
    const rows = figures.queues.filter((queue) => queue.queue.toLowerCase().includes(part)).map((queue) => {
      const row = document.createElement("tr");
      const link = document.createElement("a");
      link.textContent = queue.queue;
      link.href = root.dataset.jobs + "?" + new URLSearchParams({ queue: queue.queue });
      const head = cell(row, undefined, "th");
      head.appendChild(link);
      if (queue.paused) {
        const badge = document.createElement("span");
        badge.className = "pgq-state pgq-cancelled";
        badge.textContent = words.paused;
        head.append(" ", badge);
      }
      cell(row, number(queue.ready));
      const meter = document.createElement("meter");
      meter.max = most;
      meter.value = queue.ready;
      cell(row).appendChild(meter);
      [queue.running, queue.scheduled, queue.blocked].forEach((count) => cell(row, number(count)));
      cell(row, seconds(queue.waits));
      return row;
    });
    if (figures.queues.length) body.replaceChildren(...rows);
  }

  function show(anew) {
    remember();
    tiles();
    queues();
    drawAll(anew);
    put("pgq-live", words.live + " " + clock(figures.at, { timeZoneName: "short" }));
  }

  async function look() {
    timer = null;
    if (!document.hidden) {
      try {
        const answer = await fetch(root.dataset.address + "?span=" + encodeURIComponent(span),
                                   { headers: { Accept: "application/json" }, credentials: "same-origin" });
        if (!answer.ok) throw new Error(String(answer.status));
        figures = await answer.json();
        show(false);
      } catch (error) {
        put("pgq-live", words.stale);
      }
    }
    if (timer === null) timer = window.setTimeout(look, every);
  }

  root.querySelector(".pgq-charts").hidden = false;
  document.getElementById("pgq-lately").open = false;
  const find = document.getElementById("pgq-find");
  find.hidden = false;
  find.addEventListener("input", queues);
  show(true);
  timer = window.setTimeout(look, every);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && timer !== null) {
      window.clearTimeout(timer);
      look();
    }
  });
  new ResizeObserver(() => Object.keys(charts).forEach((name) => {
    const held = charts[name];
    if (held) held.plot.setSize({ width: Math.max(200, held.plot.root.parentNode.clientWidth - 24), height: 190 });
  })).observe(root.querySelector(".pgq-charts"));
  new MutationObserver(() => drawAll(true)).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
});
