// SPDX-License-Identifier: Apache-2.0
//
// Two ways to the same value:
//
// - By tables: "slicing by 8" (Kounavis and Berry, "A Systematic Approach to Building High Performance Software-Based CRC
//   Generators", 2005), with 16 tables.
// - By the processor's instruction, which takes 8 bytes and has its result three cycles later, but begins one each cycle.
//   So three stretches of the same length are summed side by side, and joined: a sum is moved over the length of a stretch
//   by multiplying it by x^(8 * length) modulo the polynomial, here by four tables made once (Gopal and others, "Fast CRC
//   Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011).

#include "ccrc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HAS_INSTRUCTION 1
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
static inline WITH_INSTRUCTION uint64_t sum8(uint64_t sum, uint64_t word) { return _mm_crc32_u64(sum, word); }
static inline WITH_INSTRUCTION uint32_t sum1(uint32_t sum, uint8_t byte) { return _mm_crc32_u8(sum, byte); }
static int processor_has_instruction(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HAS_INSTRUCTION 1
#define WITH_INSTRUCTION __attribute__((target("crc")))
static inline WITH_INSTRUCTION uint64_t sum8(uint64_t sum, uint64_t word) {
    return __builtin_arm_crc32cd((uint32_t)sum, word);
}
static inline WITH_INSTRUCTION uint32_t sum1(uint32_t sum, uint8_t byte) { return __builtin_arm_crc32cb(sum, byte); }
static int processor_has_instruction(void) { return (getauxval(AT_HWCAP) >> 7) & 1; }  // HWCAP_CRC32
#else
#define HAS_INSTRUCTION 0
#endif

enum {
    /// Bytes of each of the three stretches that are summed side by side.
    STRETCH = 1024
};

static uint32_t tables[16][256];
static uint32_t over_stretch[4][256];
static int is_hardware;

uint32_t ccrc32c_by_tables(uint32_t previous, const void *bytes, size_t count) {
    const uint8_t *position = bytes;
    uint32_t sum = ~previous;
    while (count >= 16) {
        uint8_t word[16];
        memcpy(word, position, 16);
        word[0] ^= (uint8_t)sum;
        word[1] ^= (uint8_t)(sum >> 8);
        word[2] ^= (uint8_t)(sum >> 16);
        word[3] ^= (uint8_t)(sum >> 24);
        sum = 0;
        for (int index = 0; index < 16; index++) sum ^= tables[15 - index][word[index]];
        position += 16;
        count -= 16;
    }
    while (count > 0) {
        sum = (sum >> 8) ^ tables[0][(uint8_t)sum ^ *position];
        position++;
        count--;
    }
    return ~sum;
}

/// Makes the tables before anything can ask.
__attribute__((constructor)) static void make_tables(void) {
    for (int byte = 0; byte < 256; byte++) {
        uint32_t sum = (uint32_t)byte;
        for (int bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >> 1) ^ 0x82F63B78u : sum >> 1;
        tables[0][byte] = sum;
    }
    for (int row = 1; row < 16; row++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = tables[row - 1][byte];
            tables[row][byte] = (before >> 8) ^ tables[0][before & 0xFF];
        }
    }
    // Moving over zeros is linear, so what it does to a sum is what it does to the sum's bits, added.
    uint32_t moved[32];
    for (int bit = 0; bit < 32; bit++) {
        uint32_t sum = 1u << bit;
        for (int byte = 0; byte < STRETCH; byte++) sum = (sum >> 8) ^ tables[0][sum & 0xFF];
        moved[bit] = sum;
    }
    for (int place = 0; place < 4; place++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t sum = 0;
            for (int bit = 0; bit < 8; bit++) {
                if (byte >> bit & 1) sum ^= moved[place * 8 + bit];
            }
            over_stretch[place][byte] = sum;
        }
    }
#if HAS_INSTRUCTION
    is_hardware = processor_has_instruction();
#endif
}

#if HAS_INSTRUCTION

static inline uint64_t load8(const uint8_t *position) {
    uint64_t word;
    memcpy(&word, position, 8);
    return word;
}

static inline uint32_t moved_over_stretch(uint32_t sum) {
    return over_stretch[0][sum & 0xFF] ^ over_stretch[1][sum >> 8 & 0xFF] ^ over_stretch[2][sum >> 16 & 0xFF]
        ^ over_stretch[3][sum >> 24];
}

static WITH_INSTRUCTION uint32_t by_instruction(uint32_t previous, const uint8_t *position, size_t count) {
    uint64_t sum = (uint32_t)~previous;
    while (count >= 3 * STRETCH) {
        uint64_t second = 0;
        uint64_t third = 0;
        for (size_t offset = 0; offset < STRETCH; offset += 8) {
            sum = sum8(sum, load8(position + offset));
            second = sum8(second, load8(position + STRETCH + offset));
            third = sum8(third, load8(position + 2 * STRETCH + offset));
        }
        sum = moved_over_stretch((uint32_t)sum) ^ (uint32_t)second;
        sum = moved_over_stretch((uint32_t)sum) ^ (uint32_t)third;
        position += 3 * STRETCH;
        count -= 3 * STRETCH;
    }
    while (count >= 8) {
        sum = sum8(sum, load8(position));
        position += 8;
        count -= 8;
    }
    uint32_t last = (uint32_t)sum;
    while (count > 0) {
        last = sum1(last, *position);
        position++;
        count--;
    }
    return ~last;
}

#endif

uint32_t ccrc32c(uint32_t previous, const void *bytes, size_t count) {
#if HAS_INSTRUCTION
    if (is_hardware) return by_instruction(previous, bytes, count);
#endif
    return ccrc32c_by_tables(previous, bytes, count);
}

int ccrc32c_is_hardware(void) { return is_hardware; }
