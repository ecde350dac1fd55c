// SPDX-License-Identifier: Apache-2.0
//
// AES-256-GCM (NIST SP 800-38D) on bytes in place: the cipher of BoringSSL that swift-crypto brings along, without the copies
// of its Swift face, which answers with fresh memory for each call. A program that links this must link swift-crypto's
// `Crypto`, whose BoringSSL has the prefix CCryptoBoringSSL; should a later release name it otherwise, linking fails.

#ifndef CBLOCKCIPHER_H
#define CBLOCKCIPHER_H

#include <stddef.h>
#include <stdint.h>

enum {
    CBLOCKCIPHER_KEY_BYTES = 32,
    CBLOCKCIPHER_NONCE_BYTES = 12,
    CBLOCKCIPHER_TAG_BYTES = 16,
};

/// A cipher under a key of 32 bytes; NULL without memory. Never changes, so that threads may share it.
void *cblockcipher_new(const uint8_t *key);

/// Ends it, and wipes what is derived from the key.
void cblockcipher_free(void *cipher);

/// Encrypts bytes in place and gives their tag of 16 bytes. Returns 1, or 0 where the cipher refuses.
int cblockcipher_seal(
    const void *cipher, void *bytes, size_t count, uint8_t *tag, const uint8_t *nonce, const void *additional,
    size_t additional_count);

/// Decrypts bytes in place. Returns 1, or 0 where the tag is not theirs: then they are not to be used.
int cblockcipher_open(
    const void *cipher, void *bytes, size_t count, const uint8_t *tag, const uint8_t *nonce, const void *additional,
    size_t additional_count);

#endif
