/** Trajectories: the states of one image between x_T and x_0. */
export { advance, beginTrajectory, isFinished, resumeTrajectory, severityOf, stepRow } from './trajectory.js';
export type { Trajectory } from './trajectory.js';
