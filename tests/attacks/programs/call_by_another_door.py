"""Makes a system call by the numbering of 32-bit programs, which a filter for 64 bits would misread."""

import ctypes
import mmap

# mov eax, 20 (getpid by the old numbering); int 0x80; ret
code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
print("calling", flush=True)
print("answered", call(), flush=True)
