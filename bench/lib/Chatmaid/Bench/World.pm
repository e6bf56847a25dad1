package Chatmaid::Bench::World;

# The processes that one row needs, and its callers.

use Mojo::Base -base, -signatures;
use Carp qw(croak);
use Chatmaid::Bench::Nginx;
use Chatmaid::Test::Redis ();
use IO::Select;
use IO::Socket::IP;

has [qw(row id secret api redis gateway sockets)];
has connections => 1;
has before => sub { [] };            # what the gateway's nginx is run by

my $LASTING = 'keepalive_requests 1000000000; keepalive_time 24h; keepalive_timeout 1h;';

my $UPSTREAM = <<'END';
%HEAD%
http {
    %HTTP%
    access_log   off;
    default_type application/json;
    LASTING
    server {
        listen 127.0.0.1:%PORT% ssl;
        ssl_certificate     %CRT:good%;
        ssl_certificate_key %KEY:good%;
        location = /v1/messages/send { return 201 'MESSAGE'; }
        location /v1/messages/       { return 200 'MESSAGE'; }
    }
    server {
        listen 127.0.0.1:%PORT:receiver%;
        location / { return 200 'ok'; }
    }
}
END

my $GATEWAY = <<'END';
%HEAD%
http {
    %HTTP%
    access_log off;
    LASTING
    chatmaid_zone                chatmaid:8m;
    REDIS
    chatmaid_api_key_file        %DIR%/api_key;
    chatmaid_webhook_secret_file %DIR%/webhook_secret;
    upstream chatmaid_api { server 127.0.0.1:%API%; keepalive 32; LASTING }
    upstream receiver     { server 127.0.0.1:RECEIVER; keepalive 32; LASTING }
    server {
        listen 127.0.0.1:%PORT%;
        location ^~ /chatmaid/ {
            chatmaid_gateway /.chatmaid/;
            chatmaid_sender  +15550100001;
        }
        location ^~ /.chatmaid/ {
            internal;
            PROXY
        }
        location ^~ /plain/ {
            PROXY
        }
        location = /hook-plain {
            RECEIVE
        }
        location = /hook-0 {
            chatmaid_webhook on;
            chatmaid_webhook_dedup 0;
            proxy_set_header X-Chatmaid-Event $chatmaid_webhook_event;
            RECEIVE
        }
        location = /hook {
            chatmaid_webhook on;
            proxy_set_header X-Chatmaid-Event $chatmaid_webhook_event;
            RECEIVE
        }
    }
}
END

my $KEPT    = 'proxy_http_version 1.1; proxy_set_header Connection "";';
my $RECEIVE = "proxy_pass http://receiver; $KEPT";
my $PROXY   = "proxy_pass https://chatmaid_api/; $KEPT proxy_set_header Host developers-api.chatmaid.net; "
    . 'proxy_ssl_server_name on; proxy_ssl_name developers-api.chatmaid.net; proxy_ssl_verify on; '
    . 'proxy_ssl_trusted_certificate %CA%;';

sub start ($self) {
    my $name    = $self->row->{name};
    my $message = sprintf '{"success":true,"data":{"id":"%s","from":"+15550100001","to":"+15550100099",'
        . '"content":"Your table is ready","mediaUrls":[],"status":"sent"}}', $self->id;

    $self->api(Chatmaid::Test::Nginx->new(name => "api-$name", option => {no_module => 1, error_log => 'error',
        conf => $UPSTREAM =~ s/LASTING/$LASTING/r =~ s/MESSAGE/$message/gr})->start);
    $self->redis(Chatmaid::Test::Redis::redis_server()) if $self->row->{redis};

    my %text = (
        LASTING  => $LASTING,
        RECEIVE  => $RECEIVE,
        RECEIVER => $self->api->port('receiver'),
        PROXY    => $PROXY,
        REDIS    => $self->redis ? 'chatmaid_redis ' . $self->redis->url . ' timeout=20s;' : '',
    );
    my $conf = $GATEWAY =~ s/\b(RECEIVER|RECEIVE|LASTING|PROXY|REDIS)\b/$text{$1}/gr;

    $self->gateway(Chatmaid::Bench::Nginx->new(name => $name, before => $self->before, option => {
        conf => $conf, main => 'master_process off;', error_log => 'error', api => $self->api, key => Chatmaid::Test::test_key(),
        files => {webhook_secret => $self->secret . "\n"}})->start);

    $self->sockets([map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $self->gateway->port) // croak "connect: $@" }
        1 .. $self->connections]);
    $self->drive(0) if $self->row->{first};
    return $self;
}

# These requests, over as many connections at once.

sub drive ($self, @numbers) {
    my $select = IO::Select->new($self->sockets->@*);
    my %busy;

    my $next = sub ($socket) {
        return delete $busy{$socket} unless @numbers;
        $busy{$socket} = {number => shift @numbers, in => ''};
        $socket->syswrite($self->row->{request}->($busy{$socket}{number}));
    };
    $next->($_) for $self->sockets->@*;

    while (%busy) {
        for my $socket ($select->can_read(60)) {
            my $one = $busy{$socket} // croak 'an answer that nobody has asked for';
            $socket->sysread($one->{in}, 65536, length $one->{in}) or croak 'the gateway has closed a connection';
            $next->($socket) if $self->answered($one);
        }
    }
}

# Is it all here, and right?
sub answered ($self, $one) {
    $one->{in} =~ /\r\n\r\n/ or return 0;
    my ($head, $body) = (substr($one->{in}, 0, $-[0]), substr $one->{in}, $+[0]);
    my ($length) = $head =~ /^Content-Length: (\d+)/mi or croak "no Content-Length:\n$head";
    return 0 if length $body < $length;

    my ($row, $i) = ($self->row, $one->{number});
    croak "$row->{name}, request $i: not the answer that was expected\n$head\n\n$body"
        unless $row->{check}->((split ' ', $head)[1], $head, $body) || $row->{first} && $i == 0;
    return 1;
}

# How many scripts Redis has run.
sub scripts ($self) {
    return 0 unless $self->redis;
    return $self->redis->cli('INFO', 'commandstats') =~ /cmdstat_evalsha:calls=(\d+)/ ? $1 : 0;
}

sub stop ($self) {
    $_->close for $self->sockets->@*;
    $_->stop for grep { $_ } $self->gateway, $self->api, $self->redis;
    my $log = $self->gateway->error_log;
    croak "the error log of $self->{row}{name} is not empty: $log" if length $log;
}

1;
