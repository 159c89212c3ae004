/** The mesh: how samplers share work. */
export { controlMesh } from './control-mesh.js';
export type { ControlMeshOptions } from './control-mesh.js';
export { MemoryMeshHub } from './memory-mesh.js';
