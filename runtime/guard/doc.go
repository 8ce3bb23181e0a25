// Package guard stands between text that nobody vouches for (documents, results of
// tools) and what is done with it. What a model may do after reading such text is decided
// here, never by asking the model.
//
// Promise: Fence makes text data that can't end its own fence. A Filter lets no address
// pass that isn't one of the sources' or of an allowed host, no citation of a source that
// wasn't given, and no part of the instructions that the tenant gave the model, also
// where the model was made to disguise it in one of the encodings that the tests name.
// It works on streams and holds back no more than it must.
package guard
