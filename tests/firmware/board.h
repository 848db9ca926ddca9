/* What start.c gives to the programs here. They are built without a libc. */
#include <stddef.h>
#include <stdint.h>
void bare_say(const char *text); /* as tests/bare.h has it */
void board_print_number(uint64_t value, unsigned base); /* base 10: of 32 bits; base 16: 16 digits */
