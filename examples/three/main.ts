import { capture, fromBuffer, loadCheckpoint, noGrad, openDevice, zeros } from "ostinato";
import { add, instancedArray, instanceIndex, mix, positionLocal, vec3 } from "three/tsl";
import * as THREE from "three/webgpu";

const TEXT = "Call me Ishmael. Some years ago, never mind how long precisely, I went to sea. ";
const canvas = document.querySelector("canvas")!;
const output = document.querySelector("output")!;

async function start(): Promise<void> {
  const device = await openDevice();
  // The same GPUDevice draws.
  const renderer = new THREE.WebGPURenderer({ canvas, device: device.gpu, antialias: true });
  renderer.setSize(canvas.width, canvas.height, false);
  await renderer.init();

  const file = await fetch(new URL("../whale.safetensors", import.meta.url));
  const { model, tokenizer } = loadCheckpoint(device, await file.arrayBuffer());
  const state = model.initialState(1);
  const { h } = state.tensors;
  if (!h) throw new Error("This example shows the hidden units of a recurrent model.");

  // A column a hidden unit, as tall as the unit is active. The heights never leave the GPU.
  const heights = instancedArray(h.size, "float");
  const columns = new THREE.InstancedMesh(new THREE.BoxGeometry(0.8, 1, 0.8), undefined, h.size);
  const side = Math.ceil(Math.sqrt(h.size));
  for (let unit = 0; unit < h.size; unit++) {
    const [x, z] = [unit % side, Math.floor(unit / side)];
    columns.setMatrixAt(unit, new THREE.Matrix4().makeTranslation(x - side / 2, 0, z - side / 2));
  }
  const height = heights.element(instanceIndex);
  const material = new THREE.MeshStandardNodeMaterial();
  material.positionNode = positionLocal.mul(vec3(1, add(0.1, height.abs().mul(4)), 1));
  material.colorNode = mix(vec3(0.1, 0.4, 0.9), vec3(0.95, 0.5, 0.1), height.mul(0.5).add(0.5));
  columns.material = material;

  const scene = new THREE.Scene().add(columns, new THREE.HemisphereLight(0xffffff, 0x222244, 3));
  const camera = new THREE.PerspectiveCamera(40, canvas.width / canvas.height, 0.1, 100);
  camera.position.set(0, 9, 14);
  camera.lookAt(0, 0, 0);

  // Drawing once makes the buffer that a tensor can then lie on.
  renderer.render(scene, camera);
  const shown = fromBuffer(device, bufferOf(renderer, heights.value), h.shape);
  const token = zeros(device, [1, 1], "i32");
  const read = await capture(device, () =>
    noGrad(() => {
      state.assign(model.forward(token, state).state);
      device.copy(h.storage, shown.storage, shown.bytes);
      return null;
    }),
  );

  const tokens = tokenizer.encode(TEXT);
  let at = 0;
  renderer.setAnimationLoop(() => {
    token.write([tokens[at % tokens.length] as number]);
    read.replay();
    device.flush();
    renderer.render(scene, camera);
    output.textContent = TEXT.slice(0, (at++ % tokens.length) + 1);
  });
}

/** Where three.js keeps an attribute; it has no public name for it. */
function bufferOf(renderer: THREE.WebGPURenderer, attribute: THREE.BufferAttribute): GPUBuffer {
  const { backend } = renderer as unknown as { backend: { get(of: object): { buffer: GPUBuffer } } };
  return backend.get(attribute).buffer;
}

start().catch((error: Error) => {
  output.textContent = error.message;
});
