// Package extract reads files: plain text, Markdown, HTML, PDF and DOCX become blocks of
// text in reading order, with headings, lists and tables told apart.
//
// Promise: what a file is, its bytes decide, not its name alone. PDF and DOCX are parsed
// in a child process with bounds on memory and time, no environment, and nothing of this
// process's but the file; it dies with its parent or its context. What can't be read is
// one of this package's errors, whose sentence tells the one who sent the file what to do.
// What a page hides (scripts, comments, hidden elements) isn't read.
//
// It refuses to guess: no OCR, no old Office formats, no bytes as text.
package extract
