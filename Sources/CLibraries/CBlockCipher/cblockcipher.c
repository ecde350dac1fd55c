// SPDX-License-Identifier: Apache-2.0
//
// Declarations: BoringSSL, include/openssl/aead.h. `in` and `out` may be the same memory there.

#include "cblockcipher.h"

typedef struct evp_aead_st EVP_AEAD;
typedef struct evp_aead_ctx_st EVP_AEAD_CTX;

extern const EVP_AEAD *CCryptoBoringSSL_EVP_aead_aes_256_gcm(void);
extern EVP_AEAD_CTX *CCryptoBoringSSL_EVP_AEAD_CTX_new(
    const EVP_AEAD *aead, const uint8_t *key, size_t key_len, size_t tag_len);
extern void CCryptoBoringSSL_EVP_AEAD_CTX_free(EVP_AEAD_CTX *ctx);
extern int CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
    const EVP_AEAD_CTX *ctx, uint8_t *out, uint8_t *out_tag, size_t *out_tag_len, size_t max_out_tag_len,
    const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len, const uint8_t *extra_in,
    size_t extra_in_len, const uint8_t *ad, size_t ad_len);
extern int CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
    const EVP_AEAD_CTX *ctx, uint8_t *out, const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len,
    const uint8_t *in_tag, size_t in_tag_len, const uint8_t *ad, size_t ad_len);
extern void CCryptoBoringSSL_ERR_clear_error(void);

void *cblockcipher_new(const uint8_t *key) {
    return CCryptoBoringSSL_EVP_AEAD_CTX_new(
        CCryptoBoringSSL_EVP_aead_aes_256_gcm(), key, CBLOCKCIPHER_KEY_BYTES, CBLOCKCIPHER_TAG_BYTES);
}

void cblockcipher_free(void *cipher) { CCryptoBoringSSL_EVP_AEAD_CTX_free(cipher); }

int cblockcipher_seal(
    const void *cipher, void *bytes, size_t count, uint8_t *tag, const uint8_t *nonce, const void *additional,
    size_t additional_count) {
    size_t tag_count = 0;
    int is_sealed = CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
        cipher, bytes, tag, &tag_count, CBLOCKCIPHER_TAG_BYTES, nonce, CBLOCKCIPHER_NONCE_BYTES, bytes, count, NULL, 0,
        additional, additional_count);
    if (!is_sealed) CCryptoBoringSSL_ERR_clear_error();
    return is_sealed && tag_count == CBLOCKCIPHER_TAG_BYTES;
}

int cblockcipher_open(
    const void *cipher, void *bytes, size_t count, const uint8_t *tag, const uint8_t *nonce, const void *additional,
    size_t additional_count) {
    int is_opened = CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
        cipher, bytes, nonce, CBLOCKCIPHER_NONCE_BYTES, bytes, count, tag, CBLOCKCIPHER_TAG_BYTES, additional,
        additional_count);
    if (!is_opened) CCryptoBoringSSL_ERR_clear_error();
    return is_opened;
}
