// Package localspeech reads texts out with flite or espeak-ng, programs of the
// distribution that need neither network nor account.
//
// It promises that an engine is one process a text, without shell, environment or
// network of ours, bounded in time, memory and output before it sees the text, and ended
// with its context. It makes WAV alone and refuses other formats, voices that the engines
// don't have, and speeds that they would silently change.
package localspeech
