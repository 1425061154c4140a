/* Runs files, and the files in directories, through a fuzz target without libFuzzer: so that the corpus is tested under
 * any compiler. Prints each name first, so that a crash says whose it was. Exits with 1 if there was nothing to run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned run_count;

static void run_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1); /* exactly the size: the address sanitizer watches its end */
	if (!file || !data || fread(data, 1, size, file) != size) {
		perror(path);
		exit(1);
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	run_count++;
	free(data);
}

static void run_path(const char *path)
{
	struct stat info;
	if (stat(path, &info)) {
		perror(path);
		exit(1);
	}
	if (S_ISREG(info.st_mode))
		run_file(path, (size_t)info.st_size);
}

static void run_directory(const char *path, DIR *directory)
{
	for (struct dirent *entry; (entry = readdir(directory));) {
		char file[4096];
		int len = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
		if (len > 0 && (size_t)len < sizeof file)
			run_path(file);
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		DIR *directory = opendir(argv[i]);
		if (directory) {
			run_directory(argv[i], directory);
			closedir(directory);
		} else {
			run_path(argv[i]);
		}
	}
	printf("%u inputs\n", run_count);
	return run_count ? 0 : 1;
}
