/** Name of the shared library that a dynamic loader could not find, from its message (glibc, musl, dyld); undefined if it says something else. */
export function missingLibrary(message: string): string | undefined {
  return (
    /(?:^|[\s:])([^\s:]+): cannot open shared object file: No such file or directory/.exec(message)?.[1] ??
    /Error loading shared library ([^\s:]+): No such file or directory/.exec(message)?.[1] ??
    /Library not loaded: (\S+)/.exec(message)?.[1]
  );
}
