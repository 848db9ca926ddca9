# The first sector of a disk for bochs: a PC from its BIOS to 64 bits with the vector registers switched on, then the
# program (tests/bare.h, CQ_BARE_PC) from the sectors behind it to 1 MB. XCR0: what of the processor's vector state the
# "system" turns on; 0xe7 is all up to AVX-512, 7 a system that knows AVX and no more. PIECES: of 128 KB, the program.
#ifndef XCR0
#define XCR0 0xe7
#endif
    .code16
    .globl _start
_start:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    in $0x92, %al                       # address line 20
    or $2, %al
    out %al, $0x92

    mov $0x1000, %edi                   # page tables: addresses are what they are, 1 GB in pages of 2 MB
    xor %eax, %eax
    mov $0xc00, %ecx
    rep stosl
    movl $0x2003, 0x1000
    movl $0x3003, 0x2000
    mov $0x3000, %edi
    mov $0x83, %eax
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b

    mov $1, %eax                        # CPUID.1: ECX bit 26, XSAVE
    cpuid
    mov $0x620, %eax                    # CR4: PAE, OSFXSR, OSXMMEXCPT
    and $0x4000000, %ecx
    mov %ecx, xsave
    jz 2f
    or $0x40000, %eax                   # and OSXSAVE
2:  mov %eax, %cr4
    mov $0x1000, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx               # EFER: long mode
    rdmsr
    or $0x100, %eax
    wrmsr
    lgdt gdt_pointer
    mov %cr0, %eax
    and $0xfffffff3, %eax               # the FPU is there: EM, TS off
    or $0x80000003, %eax                # PG, MP, PE
    mov %eax, %cr0
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x90000, %esp
    cmpl $0, xsave
    je 3f
    mov $0xd, %eax                      # CPUID.D: what XCR0 may hold
    xor %ecx, %ecx
    cpuid
    and $XCR0, %eax
    xor %ecx, %ecx
    xor %edx, %edx
    xsetbv

3:  mov $0x100000, %edi                 # the program: 256 sectors a command, by the ports of the first ATA disk
    mov $1, %ebx                        # next sector
    mov $PIECES, %ebp
4:  mov $0x1f2, %edx
    xor %eax, %eax                      # 0: 256 sectors
    out %al, %dx
    inc %edx
    mov %ebx, %eax
    out %al, %dx
    inc %edx
    shr $8, %eax
    out %al, %dx
    inc %edx
    shr $8, %eax
    out %al, %dx
    inc %edx
    mov $0xe0, %al                      # sectors are numbers, first disk
    out %al, %dx
    inc %edx
    mov $0x20, %al                      # read
    out %al, %dx
    mov $256, %esi
5:  mov $0x1f7, %edx                    # until it is not busy and has data
6:  in %dx, %al
    and $0x88, %al
    cmp $8, %al
    jne 6b
    mov $0x1f0, %edx
    mov $256, %ecx
    rep insw
    dec %esi
    jnz 5b
    add $256, %ebx
    dec %ebp
    jnz 4b
    mov $0x100000, %eax
    call *%rax
7:  hlt
    jmp 7b

    .balign 8
gdt: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
    .word 23
    .long gdt
xsave:
    .long 0
    .org 510
    .word 0xaa55
