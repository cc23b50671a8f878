/* The least that any XferCommand can do: copies the file that a mirror would send. Called as `floor URL OUTPUT`; TREE is
 * the directory that the mirror serves. */
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const char *path = argc == 3 ? strstr(argv[1], "//") : NULL;
    path = path ? strchr(path + 2, '/') : NULL;
    char file[4096] = TREE;
    if (!path || strlen(path) + sizeof TREE > sizeof file) return 2;
    strcat(file, path);
    int from = open(file, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (from < 0 || fstat(from, &stat)) return 22;
    int to = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0) return 23;
    for (off_t at = 0; at < stat.st_size;)
        if (sendfile(to, from, &at, stat.st_size - at) <= 0) return 23;
    return close(to) ? 23 : 0;
}
