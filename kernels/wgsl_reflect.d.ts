/** The package's main file is CommonJS under an ESM flag, so Node can load only this one, which has no types of its own. */
declare module "wgsl_reflect/wgsl_reflect.module.js" {
  export * from "wgsl_reflect";
}
