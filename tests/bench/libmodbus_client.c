/* The loop that edgegw's polling is measured against: `client POLLS PORT...` reads 50 holding registers over Modbus TCP from each port in turn, again
   and again, on a connection each, and prints its CPU time a poll in microseconds. */
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define DEVICES_MAX 256

static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return 1e6 * (used.ru_utime.tv_sec + used.ru_stime.tv_sec) + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

int main(int count, char **words)
{
    uint16_t registers[50];
    modbus_t *clients[DEVICES_MAX];
    int devices = count - 2;
    if (devices < 1 || devices > DEVICES_MAX)
        return 1;
    for (int i = 0; i < devices; i++) {
        clients[i] = modbus_new_tcp("127.0.0.1", atoi(words[i + 2]));
        if (!clients[i] || modbus_connect(clients[i]) < 0)
            return 1;
        modbus_set_slave(clients[i], 1);
    }
    int polls = atoi(words[1]);
    double before_us = cpu_us();
    for (int n = 0; n < polls; n++)
        if (modbus_read_registers(clients[n % devices], 0, 50, registers) != 50)
            return 2;
    printf("%.3f\n", (cpu_us() - before_us) / polls);
    return 0;
}
