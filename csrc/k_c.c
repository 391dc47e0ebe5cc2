/* The kernels in portable C. */
#include <stdint.h>
#include "v16_c.h"
#include "kernels_tmpl.h"
