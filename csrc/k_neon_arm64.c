/* The kernels for AArch64 NEON. */
#ifdef __aarch64__
#include <stdint.h>
#include "v16_neon.h"
#include "kernels_tmpl.h"
#endif
