// SPDX-License-Identifier: Apache-2.0
//
// In a reflected word of 64 bits, bit i is the power 63 - i. The carry-less product of two such words, read as a reflected
// word of 128 bits, is their product times x; hence the powers below are one less than the distance.

#include "cfoldedcrc.h"

#include <string.h>

/// x^power modulo the polynomial, as a reflected word of 64 bits.
static uint64_t power_of_x(int power, uint64_t reflected, int bits) {
    uint64_t value = 1ull << (bits - 1);
    for (int step = 0; step < power; step++) value = value & 1 ? (value >> 1) ^ reflected : value >> 1;
    return value << (64 - bits);
}

struct cfoldedcrc cfoldedcrc_make(uint64_t reflected, int bits) {
    struct cfoldedcrc powers;
    powers.over64[0] = power_of_x(512 + 64 - 1, reflected, bits);
    powers.over64[1] = power_of_x(512 - 1, reflected, bits);
    powers.over16[0] = power_of_x(128 + 64 - 1, reflected, bits);
    powers.over16[1] = power_of_x(128 - 1, reflected, bits);
    return powers;
}

#if defined(__x86_64__)
#include <immintrin.h>
#define WITH_INSTRUCTION __attribute__((target("pclmul,sse2")))

int cfoldedcrc_is_hardware(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("pclmul");
}

static inline WITH_INSTRUCTION __m128i moved(__m128i bytes, __m128i powers) {
    return _mm_xor_si128(_mm_clmulepi64_si128(bytes, powers, 0x00), _mm_clmulepi64_si128(bytes, powers, 0x11));
}

WITH_INSTRUCTION void cfoldedcrc_fold(
    const struct cfoldedcrc *powers, uint64_t sum, const void *bytes, size_t count, uint8_t rest[16]) {
    const uint8_t *position = bytes;
    __m128i folded[4];
    for (int lane = 0; lane < 4; lane++) folded[lane] = _mm_setzero_si128();
    if (count >= 64) {
        for (int lane = 0; lane < 4; lane++) folded[lane] = _mm_loadu_si128((const __m128i *)(position + 16 * lane));
        position += 64;
        count -= 64;
    }
    folded[0] = _mm_xor_si128(folded[0], _mm_cvtsi64_si128((long long)sum));
    __m128i over64 = _mm_loadu_si128((const __m128i *)powers->over64);
    while (count >= 64) {
        for (int lane = 0; lane < 4; lane++) {
            folded[lane] = _mm_xor_si128(
                moved(folded[lane], over64), _mm_loadu_si128((const __m128i *)(position + 16 * lane)));
        }
        position += 64;
        count -= 64;
    }
    __m128i over16 = _mm_loadu_si128((const __m128i *)powers->over16);
    __m128i sum16 = folded[0];
    for (int lane = 1; lane < 4; lane++) sum16 = _mm_xor_si128(moved(sum16, over16), folded[lane]);
    _mm_storeu_si128((__m128i *)rest, sum16);
}

#else

int cfoldedcrc_is_hardware(void) { return 0; }

void cfoldedcrc_fold(
    const struct cfoldedcrc *powers, uint64_t sum, const void *bytes, size_t count, uint8_t rest[16]) {
    (void)powers, (void)sum, (void)bytes, (void)count;
    memset(rest, 0, 16);
}

#endif
