/** Runs the `syncline` command and resolves to its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  console.log('usage: syncline <command> [option…]')
  return argv.length === 0 || argv.includes('--help') ? 0 : 2
}
