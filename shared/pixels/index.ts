/** 8-bit images to and from the range of the network. */
export { pixelsToUnit, unitToPixels } from './pixels.js';
