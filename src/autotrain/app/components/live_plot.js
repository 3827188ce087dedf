// Charts of one or several runs: history over REST, what comes after by push().  No data goes through the page itself.
import { echarts } from "nicegui-echart";
import { count, markOf, optionsOf, seriesOf, written } from "plot_drawing";

const POINTS = 1000; // of a line; more can't be seen
const LATER = 400; // milliseconds

function remembered(store, key, otherwise) {
  try {
    return JSON.parse(store().getItem(key)) ?? otherwise;
  } catch {
    return otherwise; // a frame of another site has no storage
  }
}

function remember(store, key, value) {
  try {
    store().setItem(key, JSON.stringify(value));
  } catch {
    return;
  }
}

export default {
  template: `
<div class="live-plot">
  <div class="live-plot-tools" role="group" :aria-label="texts.tools">
    <label class="live-plot-smooth">{{ texts.smooth }}
      <input type="range" min="0" max="0.98" step="0.02" v-model.number="smooth" :aria-valuetext="percent(smooth)">
      <output>{{ percent(smooth) }}</output></label>
    <span class="live-plot-buttons">
      <button type="button" @click="zoom(0.5)" :aria-label="texts.zoom_in" :title="texts.zoom_in">+</button>
      <button type="button" @click="zoom(2)" :disabled="!range" :aria-label="texts.zoom_out" :title="texts.zoom_out">−</button>
      <button type="button" @click="move(-0.5)" :disabled="!range" :aria-label="texts.earlier" :title="texts.earlier">←</button>
      <button type="button" @click="move(0.5)" :disabled="!range" :aria-label="texts.later" :title="texts.later">→</button>
      <button type="button" @click="setRange(null)" :disabled="!range">{{ texts.whole }}</button>
    </span>
    <span class="at-muted live-plot-range" role="status">{{ rangeText }}</span>
  </div>
  <p v-if="problem" class="live-plot-problem" role="alert">{{ problem }}</p>
  <p v-else-if="isReady && !shown.length" class="at-muted">{{ texts.empty }}</p>
  <div class="live-plot-panels">
    <section v-for="panel in shown" :key="panel.id" class="live-plot-panel" :data-panel="panel.id">
      <h3>{{ panel.title }}</h3>
      <p class="at-muted live-plot-hint">{{ panel.hint }}</p>
      <ul class="live-plot-now">
        <li v-for="line in lines(panel)" :key="line.key"><span class="live-plot-mark" :style="mark(line)"></span>
          {{ line.label }} <strong>{{ shownValue(panel, lastOf(line)) }}</strong></li>
      </ul>
      <div class="live-plot-canvas" tabindex="0" role="img" :aria-label="description(panel)" :data-canvas="panel.id"
        @pointerdown="startSelecting($event, panel.id)" @dblclick="setRange(null)" @keydown="stepThrough($event, panel)"></div>
    </section>
  </div>
  <p class="at-muted live-plot-hint" v-if="shown.length">{{ texts.how }}</p>
  <p class="live-plot-spoken" role="status">{{ spoken }}</p>
</div>`,
  props: { base: String, runs: Array, panels: Array, texts: Object, name: String },
  data() {
    return {
      smooth: remembered(() => localStorage, "at-smooth", 0),
      range: remembered(() => sessionStorage, `at-zoom-${this.name}`, null),
      isReady: false,
      problem: "",
      spoken: "",
      version: 0, // of the points, which Vue doesn't watch
    };
  },
  created() {
    this.charts = {}; // panel id -> { chart, element }
    this.whole = {}; // "run:metric" -> [[step, value], ...]
    this.detail = null; // the same of the zoomed range, or null
    this.position = {}; // run -> how far its points are known
    this.waiting = {}; // run -> pushes that came while it was being loaded
    this.cursor = {};
    this.stale = new Set(); // panels that aren't drawn as they are
    this.later = this.frame = null;
    this.appended = 0;
  },
  mounted() {
    this.themes = new MutationObserver(() => this.draw());
    for (const root of [document.documentElement, document.body]) this.themes.observe(root, { attributes: true });
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.$el);
    this.load();
  },
  activated() {
    this.load(); // what was pushed while another tab was shown is missing
  },
  beforeUnmount() {
    this.themes.disconnect();
    this.sizes.disconnect();
    clearTimeout(this.later);
    for (const { chart } of Object.values(this.charts)) chart.dispose();
  },
  watch: {
    smooth(value) {
      remember(() => localStorage, "at-smooth", value);
      this.draw();
    },
    panels() {
      this.load();
    },
  },
  computed: {
    metrics() {
      return [...new Set(this.panels.flatMap((panel) => panel.lines.map((line) => line.metric)))];
    },
    shown() {
      return this.version, this.panels.filter((panel) => this.lines(panel).length);
    },
    rangeText() {
      return this.range ? `${this.texts.steps} ${this.count(this.range[0])} – ${this.count(this.range[1])}` : "";
    },
  },
  methods: {
    // Data

    async load() {
      await Promise.all(this.runs.map((run) => this.loadRun(run)));
      if (this.range) await this.loadDetail();
      this.isReady = true;
      this.changed();
    },
    async loadRun(run) {
      if (this.waiting[run]) return;
      this.waiting[run] = []; // what is pushed meanwhile
      const asked = this.metrics;
      let problem = "";
      try {
        const answer = await this.fetchHistory(run, null);
        this.position[run] = answer.position;
        for (const metric of asked) this.whole[`${run}:${metric}`] = answer.series[metric] ?? [];
        this.appended = 0;
      } catch (error) {
        problem = `${this.texts.unreachable} (${error.message})`;
        setTimeout(() => this.loadRun(run), 2000);
      }
      const pushed = this.waiting[run];
      delete this.waiting[run];
      this.problem = problem;
      if (!problem) pushed.forEach((points) => this.push(run, ...points));
      this.changed();
      if (!problem && this.metrics.some((metric) => !asked.includes(metric))) await this.loadRun(run); // new ones came meanwhile
    },
    async loadDetail() {
      const range = this.range;
      if (!range) return (this.detail = null);
      try {
        const answers = await Promise.all(this.runs.map((run) => this.fetchHistory(run, range)));
        if (this.range !== range) return; // zoomed on meanwhile
        this.detail = {};
        this.runs.forEach((run, i) => {
          for (const metric of this.metrics) this.detail[`${run}:${metric}`] = answers[i].series[metric] ?? [];
        });
      } catch {
        return; // the points of the whole are shown instead
      }
      this.changed();
    },
    async fetchHistory(run, range) {
      const query = new URLSearchParams({ names: this.metrics.join(","), points: POINTS });
      if (range) [["first", Math.floor(range[0])], ["last", Math.ceil(range[1])]].forEach((pair) => query.set(...pair));
      const response = await fetch(`${this.base}/${run}/metrics?${query}`);
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      return response.json();
    },
    // Called by the server: points of `run` between two positions of its metrics.
    push(run, before, after, series) {
      if (this.waiting[run]) return this.waiting[run].push([before, after, series]);
      const known = this.position[run];
      if (after < before || known === undefined || before > known) return this.loadRun(run); // begun anew, or something was missed
      if (after <= known) return;
      this.position[run] = after;
      for (const [metric, points] of Object.entries(series)) this.append(`${run}:${metric}`, points);
      if (this.appended > POINTS) return this.loadRun(run);
      this.changed();
    },
    append(key, points) {
      const whole = (this.whole[key] ??= []);
      const last = whole.at(-1)?.[0] ?? -Infinity;
      const later = points.filter(([step]) => step > last);
      whole.push(...later);
      this.appended = Math.max(this.appended, whole.length - POINTS);
      if (!this.detail) return;
      (this.detail[key] ??= []).push(...later.filter(([step]) => step >= this.range[0] && step <= this.range[1]));
    },
    changed() {
      this.version += 1;
      this.draw();
    },

    // What is shown

    lines(panel) {
      const all = panel.lines.map((line) => ({ ...line, key: `${line.run}:${line.metric}` }));
      return all.filter((line) => this.whole[line.key]?.length);
    },
    points(line) {
      return this.detail?.[line.key]?.length ? this.detail[line.key] : this.whole[line.key];
    },
    lastOf(line) {
      return this.version, this.whole[line.key].at(-1)[1];
    },
    mark(line) {
      return this.version, markOf(line);
    },
    count(value) {
      return count(value, this.texts.locale);
    },
    percent(value) {
      return `${Math.round(value * 100)} %`;
    },
    shownValue(panel, value) {
      return written(value, panel.format, this.texts.locale);
    },
    description(panel) {
      const parts = this.lines(panel).map((line) => {
        const values = this.whole[line.key].map((point) => point[1]).filter((value) => value !== null);
        const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => this.shownValue(panel, value));
        return `${line.label}: ${this.texts.last} ${this.shownValue(panel, values.at(-1))}, ${low} – ${high}`;
      });
      return `${panel.title}. ${parts.join("; ")}`;
    },

    // Drawing

    chartOf(id) {
      const element = this.$el.querySelector(`[data-canvas="${id}"]`);
      const known = this.charts[id];
      if (!element?.offsetWidth) return null; // on a tab that isn't shown
      if (known?.element === element) return known.chart;
      known?.chart.dispose();
      this.charts[id] = { element, chart: echarts.init(element, null, { renderer: "canvas" }) };
      return this.charts[id].chart;
    },
    resize() {
      for (const { chart, element } of Object.values(this.charts)) if (element.offsetWidth) chart.resize();
      this.draw();
    },
    draw() {
      for (const panel of this.shown) this.stale.add(panel.id);
      this.frame ??= requestAnimationFrame(() => {
        this.frame = null;
        this.drawStale(true);
        this.later ??= setTimeout(() => {
          this.later = null;
          this.drawStale(false);
        }, LATER);
      });
    },
    // Those in sight first: the others aren't waited for.
    drawStale(inSight) {
      for (const panel of this.shown.filter((one) => this.stale.has(one.id))) {
        const chart = inSight && !this.isInSight(panel.id) ? null : this.chartOf(panel.id);
        if (!chart) continue;
        chart.setOption(this.options(panel), { replaceMerge: ["series"] });
        this.stale.delete(panel.id);
      }
    },
    isInSight(id) {
      const box = this.$el.querySelector(`[data-canvas="${id}"]`)?.getBoundingClientRect();
      return box && box.bottom > 0 && box.top < window.innerHeight;
    },
    options(panel) {
      const series = this.lines(panel).flatMap((line) => seriesOf(line, this.points(line), this.smooth));
      return optionsOf(panel, series, this.range, this.texts);
    },

    // Zoom: a range of steps, the same for all panels

    bounds() {
      const ends = Object.values(this.whole).filter((points) => points.length).flatMap((points) => [points[0][0], points.at(-1)[0]]);
      return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
    },
    zoom(factor) {
      const bounds = this.bounds();
      if (!bounds) return;
      const [first, last] = this.range ?? bounds;
      const [middle, half] = [(first + last) / 2, Math.max(1, ((last - first) / 2) * factor)];
      this.setRange([middle - half, middle + half]);
    },
    move(share) {
      const [first, last] = this.range;
      const by = (last - first) * share;
      this.setRange([first + by, last + by]);
    },
    setRange(range) {
      const bounds = this.bounds();
      if (range && bounds) {
        const width = range[1] - range[0];
        const first = Math.round(Math.max(bounds[0], Math.min(range[0], bounds[1] - width)));
        const last = Math.round(Math.min(bounds[1], first + Math.max(1, width)));
        range = first <= bounds[0] && last >= bounds[1] ? null : [first, last];
      }
      this.range = range;
      this.detail = null;
      remember(() => sessionStorage, `at-zoom-${this.name}`, range);
      this.changed();
      this.loadDetail();
    },
    startSelecting(event, id) {
      if (event.pointerType !== "mouse" || event.button !== 0) return; // a finger scrolls
      const { chart, element } = this.charts[id];
      const box = element.getBoundingClientRect();
      const from = event.clientX - box.left;
      const shade = element.appendChild(Object.assign(document.createElement("div"), { className: "live-plot-shade" }));
      const end = (moved) => Math.max(0, Math.min(box.width, moved.clientX - box.left));
      const moving = (moved) => {
        const to = end(moved);
        Object.assign(shade.style, { left: `${Math.min(from, to)}px`, width: `${Math.abs(to - from)}px` });
      };
      const done = (moved) => {
        const to = end(moved);
        window.removeEventListener("pointermove", moving);
        shade.remove();
        if (Math.abs(to - from) < 8) return;
        this.setRange([from, to].sort((a, b) => a - b).map((x) => chart.convertFromPixel({ xAxisIndex: 0 }, x)));
      };
      window.addEventListener("pointermove", moving);
      window.addEventListener("pointerup", done, { once: true });
    },
    stepThrough(event, panel) {
      const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      const points = this.points(this.lines(panel)[0]);
      const at = Math.max(0, Math.min(points.length - 1, (this.cursor[panel.id] ?? points.length) + move));
      this.cursor[panel.id] = at;
      this.charts[panel.id].chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: at });
      this.spoken = `${this.texts.step} ${this.count(points[at][0])}: ${this.shownValue(panel, points[at][1])}`;
    },
  },
};
