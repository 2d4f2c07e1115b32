const SHOWN_CLASSES = 5;
const {classes, preprocessing} = JSON.parse(document.getElementById("settings").textContent);
const status = document.getElementById("status");
const results = document.getElementById("results");
const input = document.getElementById("files");
const model = openModel();
let queue = model.catch(() => {});

// Return the content of a compressed block of this page.
async function unpack(id) {
  const block = document.getElementById(id);
  const characters = atob(block.textContent);
  block.remove(); // tens of megabytes
  const bytes = new Uint8Array(characters.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = characters.charCodeAt(index);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function openModel() {
  const runtime = URL.createObjectURL(new Blob([await unpack("runtime")], {type: "text/javascript"}));
  const ort = await import(runtime);
  ort.env.wasm.wasmBinary = await unpack("webassembly");
  // several threads share memory, which browsers do not allow for a local file
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(await unpack("model"));
  return async (square) => {
    const shape = [1, 3, preprocessing.size, preprocessing.size];
    const {logits} = await session.run({images: new ort.Tensor("float32", square, shape)});
    return softmax(Array.from(logits.data));
  };
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((total, one) => total + one, 0);
  return exponentials.map((one) => one / sum);
}

async function classify(file) {
  const image = downscale(await decode(file, preprocessing.images), preprocessing.images);
  const probabilities = await (await model)(prepare(image, preprocessing));
  const ranked = classes.map((name, index) => ({name, probability: probabilities[index]}));
  ranked.sort((a, b) => b.probability - a.probability);
  return {image, ranked};
}

const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

function element(name, content, attributes = {}) {
  const created = document.createElement(name);
  created.append(...[content].flat());
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  return created;
}

function thumbnail({data, width, height}) {
  const canvas = element("canvas", [], {width, height, "aria-hidden": "true"});
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  return canvas;
}

function probabilityList(file, ranked) {
  const rows = ranked.slice(0, SHOWN_CLASSES).map(({name, probability}) => {
    const bar = element("span", [], {class: "bar"});
    bar.style.width = `${100 * probability}%`;
    const track = element("span", bar, {class: "track"});
    return element("li", [element("span", name), track, element("data", percent(probability), {value: probability})]);
  });
  return element("ol", rows, {"aria-label": `Probabilities for ${file.name}`});
}

function card({file, image, ranked, problem}) {
  const name = element("h2", file.name);
  if (problem) return element("li", element("div", [name, element("p", `Skipped: ${problem}.`, {class: "problem"})]), {class: "card"});
  return element("li", [thumbnail(image), element("div", [name, probabilityList(file, ranked)])], {class: "card"});
}

function summarise(outcomes) {
  const classified = outcomes.filter(({problem}) => !problem);
  const skipped = outcomes.length - classified.length;
  if (outcomes.length === 1 && classified.length) {
    const [{file, ranked}] = classified;
    return `${file.name}: ${ranked[0].name}, ${percent(ranked[0].probability)}`;
  }
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  return `${plural(classified.length, "image")} classified${skipped ? `, ${plural(skipped, "file")} skipped` : ""}`;
}

async function classifyAll(files) {
  const before = results.firstChild; // the latest files are shown first
  const outcomes = [];
  for (const file of files) {
    status.textContent = `Classifying ${outcomes.length + 1} of ${files.length} …`;
    const outcome = await classify(file).catch((error) => ({problem: error.message}));
    outcomes.push({file, ...outcome});
    results.insertBefore(card(outcomes.at(-1)), before);
  }
  status.textContent = summarise(outcomes);
}

// One after another, because one session classifies one image at a time.
function add(files) {
  const list = [...files];
  if (list.length) queue = queue.then(() => classifyAll(list));
}

input.addEventListener("change", () => {
  add(input.files);
  input.value = ""; // so that the same file can be chosen again
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    input.parentElement.classList.toggle("over", type === "dragover");
    if (type === "drop") add(event.dataTransfer.files);
  });
}
model.then(
  () => { status.textContent = "Ready."; },
  (error) => { status.textContent = `The model cannot be opened in this browser (${error.message}); update the browser.`; },
);
