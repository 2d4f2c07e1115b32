// draw a chart in its place, and name what vega-embed leaves without a name
async function draw(name, spec, options) {
  const place = document.getElementById(`chart-${name}`);
  await vegaEmbed(place, spec, {...options, downloadFileName: name}).catch(console.error);
  place.querySelector("summary")?.setAttribute("aria-label", "Save this chart");
}
