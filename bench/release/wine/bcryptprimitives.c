/* bcryptprimitives.dll, which Go's programs load and Wine 8 lacks: random bytes. */
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n)
{
    return SystemFunction036(data, (ULONG)n);
}
