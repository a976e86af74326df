/** An end that the user can do something about: its sentence is printed without a stack. */
export class Failure extends Error {
  override readonly name = "Failure";
}
