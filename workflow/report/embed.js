const STACKED_BELOW = 640; // px; narrower charts have one panel per row
const MIN_PANEL = 90; // px
const drawn = {};

// Stack panels that are side by side, and name the regimes in each of them.
function stack(spec) {
  if (spec.hconcat) [spec.vconcat, spec.hconcat] = [spec.hconcat, undefined];
  if (spec.concat) spec.columns = 1;
  if (spec.facet?.field) spec.columns = 2; // small multiples are readable at half the width
  const {row, column} = spec.facet?.row || spec.facet?.column ? spec.facet : {};
  if (column && !row) {
    const header = {...column.header, labels: true, labelAngle: 0, labelOrient: "top", labelAnchor: "start"};
    spec.facet = {row: {...column, header}};
  }
  const show = (value) => {
    if (value === null || typeof value !== "object") return;
    if (value.labels === false && "labelColor" in value) value.labels = true;
    Object.values(value).forEach(show);
  };
  const parts = spec.vconcat ?? spec.concat ?? [];
  for (const part of parts) {
    if (parts.length > 1) show(part);
    stack(part);
  }
}

// Widen or narrow the panels until the chart is as wide as its element.
async function fit(view, element, widths, hasRoom) {
  if (!Object.keys(widths).length) return;
  const target = element.clientWidth - 18;
  const apply = async (factor) => {
    for (const [name, width] of Object.entries(widths)) {
      view.signal(name, Math.max(MIN_PANEL, Math.floor(width * factor)));
    }
    await view.resize().runAsync();
    return element.querySelector("svg.marks").getBoundingClientRect().width;
  };
  const first = await apply(1);
  let factor = target / first;
  const second = await apply(factor);
  if (second !== first) {
    factor += ((target - second) * (factor - 1)) / (second - first);
    await apply(factor);
  }
  // labels that do not fit into a narrower chart are left out
  if (hasRoom) view.signal("room", Math.min(1, Math.max(0.1, factor)));
  // a chart that becomes wider may become lower only in the next run
  await view.resize().runAsync();
  await view.resize().runAsync();
}

// Draw a chart in its element. Its title is text of the page and follows the drop-down lists.
async function draw(name, spec, options) {
  const element = document.getElementById(`chart-${name}`);
  const {titles = {}, switches = [], resizable = true} = spec.usermeta ?? {};
  const chart = {...structuredClone(spec), background: "transparent", padding: {left: 0, right: 0, top: 0, bottom: 4}};
  delete chart.title;
  if (element.clientWidth < STACKED_BELOW) {
    stack(chart);
    chart.config.legend.columns = 2;
  }
  const bind = document.getElementById(`switches-${name}`);
  const {view} = await vegaEmbed(element, chart, {...options, bind});
  drawn[name] = {view, spec};
  const isWidth = (signal) => resizable && /width$/i.test(signal);
  const {signals} = view.getState({signals: isWidth, data: () => false});
  const hasRoom = spec.params?.some((one) => one.name === "room");
  await fit(view, element, signals, hasRoom);
  let width = element.clientWidth;
  new ResizeObserver(() => {
    if (element.clientWidth === width) return;
    width = element.clientWidth;
    fit(view, element, signals, hasRoom);
  }).observe(element);
  const finding = document.getElementById(`finding-${name}`);
  for (const one of switches) {
    view.addSignalListener(one, () => {
      finding.textContent = titles[switches.map((other) => view.signal(other)).join("|")];
      fit(view, element, signals, hasRoom);
    });
  }
}

// Save a chart with its title, as it is shown; without this, the links lead to the files beside the page.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-save]");
  const {view, spec} = drawn[link?.dataset.chart] ?? {};
  if (!view) return;
  event.preventDefault();
  const copy = structuredClone(spec);
  for (const one of copy.params ?? []) if (one.bind) one.value = view.signal(one.name);
  const {view: hidden} = await vegaEmbed(document.createElement("div"), copy, {actions: false});
  const download = document.createElement("a");
  download.download = `${link.dataset.chart}.${link.dataset.save}`;
  download.href = await hidden.toImageURL(link.dataset.save, 2);
  download.click();
  hidden.finalize();
});
