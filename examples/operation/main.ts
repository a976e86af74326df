import { backward, capture, mean, openDevice, square, sub, type Tensor, tensor } from "ostinato";
import { Linear } from "ostinato/nn";
import { Adam } from "ostinato/train";
import { snake } from "./snake.ts";

const STEPS = 500;
const output = document.querySelector("output")!;
const canvas = document.querySelector("canvas")!;

async function start(): Promise<void> {
  const device = await openDevice();
  const xs = Float32Array.from({ length: 128 }, (_, i) => (i - 64) / 8);
  const wave = xs.map((x) => Math.sin(2 * x));
  const [inputs, targets] = [tensor(device, xs, [128, 1]), tensor(device, wave, [128, 1])];

  const first = new Linear(device, 1, 32);
  const second = new Linear(device, 32, 1);
  const optimizer = new Adam([...first.parameters(), ...second.parameters()], { lr: 0.01 });
  const network = (x: Tensor) => second.forward(snake(first.forward(x), 2));

  // The step is recorded once and replayed: one submit, none of this function's JavaScript.
  const step = await capture(device, () => {
    optimizer.zeroGrad();
    const guess = network(inputs);
    const loss = mean(square(sub(guess, targets)));
    backward(loss);
    optimizer.step();
    return { guess, loss };
  });
  for (let i = 1; i <= STEPS; i++) {
    step.replay();
    if (i % 25) continue;
    const [loss, guess] = await Promise.all([step.outputs.loss.item(), step.outputs.guess.data()]);
    output.textContent = `Step ${i} of ${STEPS}, mean squared error ${loss.toFixed(4)}`;
    draw(wave, guess);
  }
}

function draw(...curves: Float32Array[]): void {
  const pen = canvas.getContext("2d")!;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  curves.forEach((curve, i) => {
    pen.strokeStyle = i === 0 ? "gray" : "orangered";
    pen.beginPath();
    curve.forEach((y, at) => {
      pen.lineTo((at / curve.length) * canvas.width, canvas.height * (0.5 - 0.4 * y));
    });
    pen.stroke();
  });
}

start().catch((error: Error) => {
  output.textContent = error.message;
});
