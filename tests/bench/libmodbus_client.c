/* The loop that edgegw's polling is measured against: `client PORT POLLS` reads 50 holding registers over Modbus TCP, again and again,
   and prints its CPU time a poll in microseconds. */
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return 1e6 * (used.ru_utime.tv_sec + used.ru_stime.tv_sec) + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

int main(int count, char **words)
{
    uint16_t registers[50];
    modbus_t *client = count == 3 ? modbus_new_tcp("127.0.0.1", atoi(words[1])) : NULL;
    if (!client || modbus_connect(client) < 0)
        return 1;
    modbus_set_slave(client, 1);
    int polls = atoi(words[2]);
    double before_us = cpu_us();
    for (int n = 0; n < polls; n++)
        if (modbus_read_registers(client, 0, 50, registers) != 50)
            return 2;
    printf("%.3f\n", (cpu_us() - before_us) / polls);
    return 0;
}
