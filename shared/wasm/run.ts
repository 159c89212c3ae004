/** Memories and instances. Node has WebAssembly; the ES library of TypeScript leaves it to the DOM's. */
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => SharedMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
};

export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

export const wasmPageBytes = 65_536;
/** 4 GiB, the most that a 32-bit memory can have. */
export const maxWasmPages = 65_536;

/** Reserves `bytes` of address space; a page takes memory once it is used. @throws RangeError beyond 4 GiB */
export function sharedMemory(bytes: number): SharedMemory {
  const pages = Math.max(1, Math.ceil(bytes / wasmPageBytes));
  if (!(bytes >= 0 && pages <= maxWasmPages)) throw new RangeError(`${bytes} bytes do not fit a WebAssembly memory.`);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** A module of `assemble` that can be bound to any number of memories. */
export class WasmModule<Functions extends object> {
  readonly #module: object;

  constructor(bytes: Uint8Array) {
    this.#module = new WebAssembly.Module(bytes);
  }

  bind(memory: SharedMemory): Functions {
    return new WebAssembly.Instance(this.#module, { m: { m: memory } }).exports as Functions;
  }
}
