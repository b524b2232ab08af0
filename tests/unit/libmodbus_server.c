/* A Modbus server of libmodbus for tests/unit/test_bus_witness.py: `server tcp` or `server rtu PORT`.
   Prints the TCP port it listens on (0 for rtu), then answers until it is killed.
   Holding register n holds (n * 7919 + 13) mod 65536, input register n the same + 1, coil n is 1 where n * n mod 7 is 1, discrete input n where it is 2. */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <netinet/in.h>

#define SIZE 1000

static modbus_mapping_t *make_mapping(void)
{
    modbus_mapping_t *mapping = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
    for (int n = 0; mapping && n < SIZE; n++) {
        mapping->tab_registers[n] = (uint16_t)(n * 7919 + 13);
        mapping->tab_input_registers[n] = (uint16_t)(n * 7919 + 14);
        mapping->tab_bits[n] = n * n % 7 == 1;
        mapping->tab_input_bits[n] = n * n % 7 == 2;
    }
    return mapping;
}

static int serve(modbus_t *server, modbus_mapping_t *mapping)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        int size = modbus_receive(server, query);
        if (size > 0)
            modbus_reply(server, query, size, mapping);
        else if (size < 0 && errno == ECONNRESET)
            return 0;
    }
}

static int serve_tcp(modbus_mapping_t *mapping)
{
    struct sockaddr_in place;
    socklen_t length = sizeof place;
    modbus_t *server = modbus_new_tcp("127.0.0.1", 0);
    int listener = modbus_tcp_listen(server, 1);
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&place, &length) < 0)
        return 1;
    printf("%d\n", ntohs(place.sin_port));
    fflush(stdout);
    for (;;) {
        if (modbus_tcp_accept(server, &listener) < 0)
            return 1;
        serve(server, mapping);
        modbus_close(server);
    }
}

int main(int count, char **words)
{
    modbus_mapping_t *mapping = make_mapping();
    if (!mapping || count < 2)
        return 2;
    if (strcmp(words[1], "tcp") == 0)
        return serve_tcp(mapping);
    modbus_t *server = modbus_new_rtu(words[2], 19200, 'N', 8, 1);
    modbus_set_slave(server, 17);
    if (modbus_connect(server) < 0)
        return 1;
    puts("0");
    fflush(stdout);
    return serve(server, mapping);
}
