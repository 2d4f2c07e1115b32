// Preparation of an image for the model: the same steps as in entr/data/decode.py and entr/deploy/predict.py,
// with the resampling of Pillow, because a canvas resamples differently in each browser.

const MAX_CANVAS_PIXELS = 16e6; // Safari on a phone has no larger canvas
const REDUCING_GAP = 2; // of Pillow's `thumbnail`: blocks of pixels are averaged first if it downscales more than that
const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const BILINEAR = {support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x))};
const LANCZOS = {support: 3, weight: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0)};

// Return the image in a file: upright and with transparent pixels white. Throws an error that says why it cannot be used.
async function decode(file, {min_side, max_pixels}) {
  // without the conversion of a colour profile, which Pillow ignores
  const bitmap = await createImageBitmap(file, {colorSpaceConversion: "none"}).catch(() => {
    throw new Error("this browser cannot read it as an image");
  });
  const {width, height} = bitmap;
  if (width * height > max_pixels) throw new Error(`${width} × ${height} px are too many`);
  if (Math.min(width, height) < min_side) throw new Error(`${width} × ${height} px; both sides must have ${min_side} px`);
  const factor = Math.min(1, Math.sqrt(MAX_CANVAS_PIXELS / (width * height)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height].map((side) => Math.max(1, Math.round(side * factor)));
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  return {data, width: canvas.width, height: canvas.height, extent: [canvas.width, canvas.height]};
}

// Downscale an image as Pillow's `thumbnail` does.
function downscale(image, {max_side, resize_side}) {
  const {width, height} = image;
  const [longer, shorter] = [Math.max(width, height), Math.min(width, height)];
  const limit = resize_side === "shorter" ? Math.ceil((max_side * longer) / shorter) : max_side;
  if (limit >= longer) return image;
  // of the two nearest lengths of the other side, the one with the more similar aspect ratio
  const aspect = width / height;
  const exact = width >= height ? limit / aspect : limit * aspect;
  const difference = (side) => Math.abs(aspect - (width >= height ? limit / side : side / limit));
  const [below, above] = [Math.max(1, Math.floor(exact)), Math.max(1, Math.ceil(exact))];
  const other = difference(above) < difference(below) ? above : below;
  const [newWidth, newHeight] = width >= height ? [limit, other] : [other, limit];
  const factors = [width / newWidth, height / newHeight].map((ratio) => Math.max(1, Math.floor(ratio / REDUCING_GAP)));
  return resample(reduce(image, ...factors), newWidth, newHeight, LANCZOS);
}

// Average blocks of opaque pixels; those at the right and at the bottom may be incomplete.
function reduce({data, width, height}, horizontal, vertical) {
  const [columns, rows] = [Math.ceil(width / horizontal), Math.ceil(height / vertical)];
  const sums = new Float64Array(4 * columns * rows);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const source = 4 * (y * width + x);
      const block = 4 * (Math.floor(y / vertical) * columns + Math.floor(x / horizontal));
      for (let channel = 0; channel < 4; channel++) sums[block + channel] += data[source + channel];
    }
  }
  // opacity, the fourth channel, is 255 everywhere, so its sum counts the pixels
  const means = Uint8ClampedArray.from(sums, (sum, index) => Math.floor((255 * sum) / sums[index | 3] + 0.5));
  return {data: means, width: columns, height: rows, extent: [width / horizontal, height / vertical]};
}

// Return a downscaled image as the model takes it: a normalised square of shape (3, size, size).
function prepare(image, {size, resize_method, mean, std}) {
  let [width, height] = [size, size];
  if (resize_method !== "squish") {
    const fitted = (resize_method === "crop" ? Math.min : Math.max)(image.width, image.height);
    [width, height] = [image.width, image.height].map((side) => Math.max(1, roundHalfToEven(side * (size / fitted))));
  }
  const {data} = resample(image, width, height, BILINEAR);
  // negative where the image is padded with black
  const offset = (side) => (resize_method === "pad" ? -Math.floor((size - side) / 2) : roundHalfToEven((side - size) / 2));
  const [left, top] = [offset(width), offset(height)];
  const square = new Float32Array(3 * size * size);
  for (let index = 0; index < square.length; index++) {
    const channel = Math.floor(index / (size * size));
    const column = left + (index % size);
    const row = top + (Math.floor(index / size) % size);
    const isInside = column >= 0 && row >= 0 && column < width && row < height;
    const level = isInside ? data[4 * (row * width + column) + channel] : 0;
    square[index] = (level / 255 - mean[channel]) / std[channel];
  }
  return square;
}

// Round as Python does.
function roundHalfToEven(number) {
  const floor = Math.floor(number);
  if (number - floor !== 0.5) return Math.round(number);
  return floor % 2 === 0 ? floor : floor + 1;
}

// Resample the rows of an image, then its columns, with an antialiasing filter, each rounded to 8 bits.
function resample({extent: [right, bottom], ...image}, width, height, filter) {
  return {...resampleRows(resampleRows(image, right, width, filter), bottom, height, filter), extent: [width, height]};
}

// Resample the rows of an image from the left edge to `right`, and transpose it.
function resampleRows({data, width, height}, right, length, filter) {
  const target = new Uint8ClampedArray(4 * length * height).fill(255);
  weightsOf(width, right, length, filter).forEach(({first, weights}, column) => {
    for (let row = 0; row < height; row++) {
      let [red, green, blue] = [0, 0, 0];
      let source = 4 * (row * width + first);
      for (const weight of weights) {
        red += weight * data[source];
        green += weight * data[source + 1];
        blue += weight * data[source + 2];
        source += 4;
      }
      const pixel = 4 * (column * height + row);
      target[pixel] = Math.floor(red + 0.5);
      target[pixel + 1] = Math.floor(green + 0.5);
      target[pixel + 2] = Math.floor(blue + 0.5);
    }
  });
  return {data: target, width: height, height: length};
}

// Return, for each resampled pixel of a row, the first pixel of the row that it depends on, and the weights from there.
function weightsOf(width, right, length, {support, weight}) {
  const scale = right / length;
  const stretch = Math.max(1, scale);
  return Array.from({length}, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support * stretch + 0.5));
    const end = Math.min(width, Math.floor(centre + support * stretch + 0.5));
    const weights = Float64Array.from({length: end - first}, (_, i) => weight((first + i - centre + 0.5) / stretch));
    const sum = weights.reduce((total, one) => total + one, 0);
    return {first, weights: weights.map((one) => one / sum)};
  });
}
