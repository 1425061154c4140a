#include "unread.h"

#include "random_number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	BYTES_MAX = 48 * 1024 * 1024,
	SMALL_BYTES = 128 * 1024 * 1024, /* of the whole broker */
	BYTES_PER_MS = 4096,
};

/* Counts so many bytes more as read. How many of them were more than there was to be read. */
static uint64_t give_back(struct tl_unread_stream *stream, uint64_t bytes)
{
	uint64_t unread = stream->sent - stream->read, back = bytes < unread ? bytes : unread;
	stream->read += back;
	return bytes - back;
}

static void give_back_any(struct tl_unread *unread, uint64_t bytes)
{
	for (size_t i = 0; i < 2; i++)
		bytes = give_back(&unread->streams[i], bytes);
}

static uint64_t count(const struct tl_unread *unread)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < 2; i++)
		bytes += unread->streams[i].sent - unread->streams[i].read;
	return bytes;
}

bool tl_unread_is_too_much(struct tl_unread *unread, struct tl_resident *resident, uint64_t now_ms)
{
	if (now_ms > unread->since_ms)
		give_back_any(unread, (now_ms - unread->since_ms) * BYTES_PER_MS);
	unread->since_ms = now_ms;
	uint64_t bytes = count(unread);
	if (bytes <= BYTES_MAX)
		return false;
	if (tl_resident_bytes(resident, now_ms) >= SMALL_BYTES)
		return true;
	give_back_any(unread, bytes - BYTES_MAX);
	return false;
}

uint64_t tl_unread_proof(struct tl_unread *unread, int qos)
{
	struct tl_unread_stream *stream = &unread->streams[qos > 0];
	struct tl_proof *proof = &stream->proofs[stream->proof_count];
	if (stream->proof_count == TL_PROOFS_MAX)
		return proof[-1].number;
	if (tl_random_number(&proof->number) != TL_OK)
		return 0;
	proof->upto = UINT64_MAX;
	stream->proof_count++;
	return proof->number;
}

static struct tl_proof *find_proof(struct tl_unread_stream *stream, uint64_t number)
{
	for (uint32_t i = 0; number != 0 && i < stream->proof_count; i++)
		if (stream->proofs[i].number == number)
			return &stream->proofs[i];
	return NULL;
}

/* Each proof counts once, and those before it no more. */
static void take_proof(struct tl_unread_stream *stream, uint64_t number)
{
	struct tl_proof *proof = find_proof(stream, number);
	if (!proof || proof->upto == UINT64_MAX)
		return;
	if (stream->read < proof->upto)
		stream->read = proof->upto;
	uint32_t gone = (uint32_t)(proof - stream->proofs) + 1;
	stream->proof_count -= gone;
	memmove(stream->proofs, proof + 1, stream->proof_count * sizeof *proof);
}

/* Of several answers that carry it, the first one says what it proves. */
static void note_proof(struct tl_unread_stream *stream, uint64_t number)
{
	struct tl_proof *proof = find_proof(stream, number);
	if (proof && proof->upto == UINT64_MAX)
		proof->upto = stream->sent;
}

static void note_page(struct tl_unread *unread, bool acked, size_t bytes, const struct tl_asked *asked)
{
	bool ahead = asked->after >= unread->next;
	if (ahead) {
		give_back(&unread->streams[unread->page_acked], unread->page_bytes);
		unread->page_bytes = 0;
	}
	if (asked->next <= unread->next)
		return;
	unread->next = asked->next;
	unread->page_bytes = ahead ? bytes : 0;
	unread->page_acked = acked;
}

void tl_unread_sent(struct tl_unread *unread, int qos, size_t bytes, const struct tl_asked *asked)
{
	for (size_t i = 0; i < 2; i++)
		take_proof(&unread->streams[i], asked->shown);
	if (asked->is_page)
		note_page(unread, qos > 0, bytes, asked);
	unread->streams[qos > 0].sent += bytes;
	note_proof(&unread->streams[qos > 0], asked->given);
}

void tl_proof_print(uint64_t proof, char text_out[static TL_PROOF_DIGITS + 1])
{
	snprintf(text_out, TL_PROOF_DIGITS + 1, "%016" PRIx64, proof);
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint64_t tl_proof_find(struct tl_slice cursor)
{
	const char *text = cursor.ptr;
	uint64_t proof = 0;
	if (cursor.len <= TL_PROOF_DIGITS || text[cursor.len - TL_PROOF_DIGITS - 1] != '/')
		return 0;
	for (size_t i = cursor.len - TL_PROOF_DIGITS; i < cursor.len; i++) {
		if (digit(text[i]) < 0)
			return 0;
		proof = proof << 4 | (uint64_t)digit(text[i]);
	}
	return proof;
}
