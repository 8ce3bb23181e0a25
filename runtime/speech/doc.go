// Package speech is the feature that reads texts out: POST /tts and GET /tts/voices, and
// POST /v1/audio/speech through it.
//
// It promises that a text is within the caller's rate and the tenant's budget, billed by
// an estimate of its tokens once the provider has taken it, and that a stream is one
// file, cut at sentence borders alone. It refuses what the tenant's voice can't do rather
// than to say it in another way, and there is no voice where none is configured.
package speech
