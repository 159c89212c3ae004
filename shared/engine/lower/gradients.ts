/** Prefix of the outputs that hold gradients; the rest of the name is the weight's. */
export const gradientPrefix = 'grad/';
