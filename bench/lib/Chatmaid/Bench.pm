package Chatmaid::Bench;

# What is measured, and the world it is measured in: for each row a gateway of
# its own, with an empty zone and an empty Redis, between one keep-alive client
# and a second nginx that plays Chatmaid and a receiver of webhooks.
#
#   for my $row (rows(@names)) {
#       my $world = world($row);
#       $world->drive(1 .. 500);
#   }

use Mojo::Base -strict, -signatures;
use Carp qw(croak);
use Chatmaid::Bench::World;
use Chatmaid::Sandbox::Webhooks;
use Chatmaid::Test::World qw(fresh_secret);
use Exporter 'import';
use Mojo::JSON qw(decode_json);

our @EXPORT = qw(rows world plain_of);

my $ID      = 'msg_7Qk2Zt90LmXa';
my $SECRET  = fresh_secret('whsec_');
my $SEND    = '{"to":"+15550100099","text":"Your table is ready"}';
my $NATIVE  = '{"to":"+15550100099","content":"Your table is ready","fromPhoneId":"+15550100001"}';


# --- Requests ----------------------------------------------------------------

sub http ($method, $path, $body = undef, @headers) {
    my @lines = ("$method $path HTTP/1.1", 'Host: 127.0.0.1:8080', 'User-Agent: curl/7.88.1', 'Accept: */*', @headers);
    push @lines, 'Content-Type: application/json', 'Content-Length: ' . length $body if defined $body;
    return join("\r\n", @lines, '', '') . ($body // '');
}

sub sends ($path, $body, $fixed = undef) {
    return sub ($i) { http(POST => $path, $body, sprintf 'Idempotency-Key: booking-%06d-ready', $fixed // $i) };
}

sub gets ($path) {
    return sub ($i) { http(GET => $path) };
}

# Events of 600 bytes, none like another.
sub hooks ($path) {
    return sub ($i) {
        my $body = sprintf '{"event":"message.received","timestamp":"2026-07-25T17:21:00.%03dZ","data":{"messageId":'
            . '"inmsg_%08d","from":"+15550100099","to":"+15550100001","isGroup":false,"groupId":null,"type":"text",'
            . '"receivedAt":"2026-07-25T17:21:00.000Z","content":"', $i % 1000, $i;
        $body .= substr 'Thanks, see you at eight. ' x 24, 0, 600 - 3 - length $body;
        $body .= '"}}';
        return http(POST => $path, $body, 'X-Chatmaid-Event: message.received',
            'X-Chatmaid-Signature: ' . Chatmaid::Sandbox::Webhooks::sign($body, $SECRET, int time));
    };
}


# --- Rows --------------------------------------------------------------------

# Each answer is checked: a row that went wrong is an error, not a number.

sub sent ($status, $head, $body)     { $status == 201 && $head !~ /^Idempotent-Replayed/mi && decode_json($body)->{id} eq $ID }
sub replayed ($status, $head, $body) { $status == 201 && $head =~ /^Idempotent-Replayed: true/mi && decode_json($body)->{id} eq $ID }
sub read_one ($status, $head, $body) { $status == 200 && decode_json($body)->{id} eq $ID }
sub as_it_is ($status, $head, $body) { $status =~ /\A20[01]\z/ && decode_json($body)->{data}{id} eq $ID }
sub taken ($status, $head, $body)    { $status == 200 && $body eq 'ok' }

# redis: how many scripts a request costs Redis, at least.
# thousands: instructions that a request may take, in thousands.
# first: what is sent before all others, once.

my @ROWS = (
    {name => 'plain-post',   title => 'proxy_pass of a send',     request => sends('/plain/v1/messages/send', $NATIVE), check => \&as_it_is},
    {name => 'send-zone',    title => 'fresh send, zone',         request => sends('/chatmaid/send', $SEND), check => \&sent,
        plain => 'plain-post', thousands => 101},
    {name => 'send-redis',   title => 'fresh send, Redis',        request => sends('/chatmaid/send', $SEND), check => \&sent,
        plain => 'plain-post', thousands => 137, redis => 2},
    {name => 'replay-zone',  title => 'replay, zone',             request => sends('/chatmaid/send', $SEND, 0), check => \&replayed,
        plain => 'plain-post', thousands => 48, first => 1},
    {name => 'replay-redis', title => 'replay, Redis',            request => sends('/chatmaid/send', $SEND, 0), check => \&replayed,
        plain => 'plain-post', thousands => 70, first => 1, redis => 1},
    {name => 'plain-get',    title => 'proxy_pass of a read',     request => gets("/plain/v1/messages/$ID"), check => \&as_it_is},
    {name => 'v1-get',       title => 'v1 GET',                   request => gets("/chatmaid/v1/messages/$ID"), check => \&as_it_is,
        plain => 'plain-get', thousands => 54},
    {name => 'get',          title => 'simplified GET',           request => gets("/chatmaid/messages/$ID"), check => \&read_one,
        plain => 'plain-get', thousands => 61},
    {name => 'plain-hook',   title => 'proxy_pass of a webhook',  request => hooks('/hook-plain'), check => \&taken},
    {name => 'hook-off',     title => 'webhook, no records',      request => hooks('/hook-0'), check => \&taken,
        plain => 'plain-hook', thousands => 76},
    {name => 'hook-zone',    title => 'webhook, zone',            request => hooks('/hook'), check => \&taken,
        plain => 'plain-hook', thousands => 105},
    {name => 'hook-redis',   title => 'webhook, Redis',           request => hooks('/hook'), check => \&taken,
        plain => 'plain-hook', thousands => 148, redis => 2},
);

sub rows (@names) {
    my %row = map { $_->{name} => $_ } @ROWS;
    return map { $row{$_} // croak "no row \"$_\": there are " . join ', ', map { $_->{name} } @ROWS } @names if @names;
    return @ROWS;
}

# The row that this one is compared with, or itself.
sub plain_of ($row) { $row->{plain} // $row->{name} }

# before: what the gateway's nginx is run by.  connections: how many callers.
sub world ($row, %option) {
    return Chatmaid::Bench::World->new(row => $row, id => $ID, secret => $SECRET, %option)->start;
}

1;
