// How curves look: pure functions of what is to be drawn, for live_plot.js.

const PALETTES = {
  light: ["#1f5fbf", "#b3470a", "#157347", "#8a2fb5", "#a3195b", "#5b5b00"],
  dark: ["#7fb2ff", "#ffab70", "#6fd39b", "#d6a3ff", "#ff9ac4", "#d9d36b"],
};
const DASHES = ["solid", "dashed", "dotted", [8, 3, 2, 3], [2, 2], [12, 4]];

export function colourOf(line) {
  const palette = PALETTES[document.documentElement.dataset.theme === "dark" ? "dark" : "light"];
  return palette[line.colour % palette.length];
}

// As the border of a mark in the legend.
export function markOf(line) {
  const dash = dashOf(line);
  return { borderTop: `3px ${Array.isArray(dash) ? "dashed" : dash} ${colourOf(line)}` };
}

function dashOf(line) {
  return DASHES[(line.dash ?? 0) % DASHES.length];
}

export function count(value, locale) {
  return Math.round(value).toLocaleString(locale);
}

// format: number, percent, bytes or whole.
export function written(value, format, locale) {
  if (value === null || value === undefined) return "–";
  if (format === "percent") return `${(value * 100).toFixed(1)} %`;
  if (format === "bytes") return `${(value / 1e9).toFixed(2)} GB`;
  if (format === "whole") return count(value, locale);
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e7)) return Number(value.toPrecision(3)).toExponential();
  return value.toLocaleString(locale, { maximumSignificantDigits: 5 });
}

// Exponential mean that begins at the first value.
function smoothed(points, weight) {
  let mean = 0;
  let seen = 0;
  return points.map(([step, value]) => {
    if (value === null) return [step, null];
    mean = weight * mean + (1 - weight) * value;
    seen = weight * seen + (1 - weight);
    return [step, mean / seen];
  });
}

export function seriesOf(line, points, smooth) {
  const colour = colourOf(line);
  const lineStyle = { width: 2, type: dashOf(line), color: colour };
  const raw = {
    id: line.key, name: line.label, type: "line", data: points, color: colour, lineStyle, symbolSize: 5,
    showSymbol: points.length <= 40, connectNulls: false, emphasis: { disabled: true },
  };
  if (!smooth || line.metric.startsWith("eval_")) return [raw]; // a validation is a mean already
  const faint = { ...raw, lineStyle: { ...lineStyle, width: 1, opacity: 0.3 }, showSymbol: false };
  const mean = { ...raw, id: `${line.key}~`, data: smoothed(points, smooth), showSymbol: false, tooltip: { show: false } };
  return [faint, mean];
}

// For ECharts.  range: of steps, or null for all.
export function optionsOf(panel, series, range, texts) {
  const style = getComputedStyle(document.body);
  const [ink, dim, grid, card] = ["ink", "dim", "line", "card"].map((name) => style.getPropertyValue(`--at-${name}`).trim());
  const text = { color: dim, fontFamily: "inherit" };
  const format = (value) => written(value, panel.format, texts.locale);
  const [min, max] = range ?? ["dataMin", "dataMax"];
  return {
    animation: false,
    grid: { left: 8, right: 16, top: 12, bottom: 4, containLabel: true },
    tooltip: {
      trigger: "axis", renderMode: "richText", valueFormatter: format, backgroundColor: card, borderColor: grid,
      textStyle: { color: ink, fontSize: 12 },
    },
    xAxis: {
      type: "value", min, max, minInterval: 1, splitLine: { show: false }, axisLine: { lineStyle: { color: grid } },
      axisLabel: { ...text, hideOverlap: true, formatter: (value) => count(value, texts.locale) },
      axisPointer: { label: { formatter: ({ value }) => `${texts.step} ${count(value, texts.locale)}` } },
    },
    yAxis: {
      type: "value", scale: !["bytes", "whole"].includes(panel.format), axisLabel: { ...text, formatter: format },
      splitLine: { lineStyle: { color: grid } },
    },
    series,
  };
}
