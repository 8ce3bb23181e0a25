// Package turn is one question to a model from its prompt to its end: the model is asked,
// the tools that it calls are run, their results are given back, until it answers.
//
// Promise: every call of a model is within a reservation of the budget and is settled; the
// number of steps, of calls and of bytes of results is bounded; results are fenced as
// data; once text that nobody vouches for is before the model, tools that write or leave
// run only with the tenant's leave, and its answers pass the guard. What the model
// generated is told as it comes.
package turn
