import { empty, record, type Tensor } from "ostinato";
import kernel from "./kernels/snake.wgsl";

/** x + sin(a x)^2 / a, element by element. Bindings and parameters are checked by the compiler. */
export function snake(x: Tensor<"f32">, a = 1): Tensor<"f32"> {
  const y = empty(x.device, x.shape);
  const params = { size: x.size, a };
  const groups = [Math.ceil(x.size / 64)] as const;
  x.device.dispatch(kernel, "forward", { x, y }, params, groups);
  record("snake", [y], [x], [x], ([dy], _, [x]) => {
    if (!dy) return [null];
    const dx = empty(x.device, x.shape);
    x.device.dispatch(kernel, "backward", { x, dy, y: dx }, params, groups);
    return [dx];
  });
  return y;
}
