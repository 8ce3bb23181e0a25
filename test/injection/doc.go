// Package injection proves that documents, results of tools and what servers say of
// theirs can't act. A whole server runs in front of a model that carries out every order
// that it finds in its context, and each case hides one order in one place: whatever the
// model is made to do, no forbidden tool runs, and no address, instruction, foreign text
// or invented citation comes out. Twin cases without orders show that what is wanted
// still works.
//
// A case counts only if the model tried: what it wrote is judged by the same eyes as what
// the client got.
package injection
