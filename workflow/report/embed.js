// Draw a chart in its element, and label the menu that vega-embed leaves unlabelled.
async function draw(name, spec, options) {
  const element = document.getElementById(`chart-${name}`);
  await vegaEmbed(element, spec, {...options, downloadFileName: name}).catch(console.error);
  element.querySelector("summary")?.setAttribute("aria-label", "Save this chart");
}
