/** The programs that a run is made of, as `thaw engine` names them. */
export const programNames = ['training', 'restoration', 'degradation', 'algorithm2'] as const;
export type ProgramName = (typeof programNames)[number];
