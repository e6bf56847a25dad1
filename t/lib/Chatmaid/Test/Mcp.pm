package Chatmaid::Test::Mcp;

# A client that calls as Chatmaid's official MCP server (0.3.1) is known to: no
# timeout, no retry, no key of its own for a send.
#
#   my $mcp = Chatmaid::Test::Mcp->new(base_url => url('/chatmaid'), key => 'any');
#   $mcp->send({fromPhoneId => …, to => …, content => …})->{id};
#
# A call dies with what the model would be told; "crashed: …" is a bug that the
# server's own code falls into.

use Mojo::Base -base, -signatures;
use Chatmaid::Test::Client;
use Chatmaid::Test::Sdk;
use Mojo::JSON qw(encode_json);
use Scalar::Util qw(looks_like_number);

has base_url => 'https://developers-api.chatmaid.net';
has key      => sub { die 'a key is required' };
has client   => sub ($self) {
    Chatmaid::Test::Client->new(base => $self->base_url, keepalive => 1);
};

*part   = \&Chatmaid::Test::Sdk::part;
*search = \&Chatmaid::Test::Sdk::search;


sub send ($self, $message) {
    die "content is too long\n" if length($message->{content} // '') > 4096;
    die "idempotencyKey is too long\n" if length($message->{idempotencyKey} // '') > 64;
    return $self->call(POST => '/v1/messages/send', undef, $message);
}

sub messages ($self, %query) {
    die "limit is too large\n" if ($query{limit} // 20) > 100;
    return $self->call(GET => '/v1/messages', {page => 1, limit => 20, %query});
}

sub message ($self, $id)            { $self->call(GET => '/v1/messages/' . part($id)) }
sub inbound ($self, %query)         { $self->call(GET => '/v1/messages/inbound', {page => 1, limit => 20, %query}) }
sub inbound_message ($self, $id)    { $self->call(GET => '/v1/messages/inbound/' . part($id)) }
sub groups ($self, $from)           { $self->call(GET => '/v1/groups', {fromPhoneId => $from}) }
sub phones ($self)                  { $self->call(GET => '/v1/phone-numbers') }
sub phone ($self, $id)              { $self->call(GET => '/v1/phone-numbers/' . part($id)) }
sub phone_status ($self, $id)       { $self->call(GET => '/v1/phone-numbers/' . part($id) . '/status') }
sub account ($self)                 { $self->call(GET => '/v1/account') }
sub usage ($self, %query)           { $self->call(GET => '/v1/account/usage', \%query) }


# A base with a slash at its end gives two; Content-Type goes with a GET too.

sub call ($self, $method, $path, $query = undef, $body = undef) {
    my $url = $self->base_url . $path;
    $url .= '?' . search(%$query) if $query && %$query;

    my $answer = $self->client->request($method => $url, $body && encode_json($body),
        Authorization => 'Bearer ' . $self->key, 'User-Agent' => '@chatmaid/mcp', 'Content-Type' => 'application/json');
    die "network: $answer->{error}\n" if $answer->{error};

    my $json = $answer->{json} // die "crashed: the answer is no JSON\n";
    if (ref $json eq 'HASH' && defined $json->{success} && !$json->{success}
        && defined $json->{error} && !ref $json->{error} && !looks_like_number($json->{error}))
    {
        die "crashed: message.join is not a function\n" unless ref $json->{message} eq 'ARRAY';
        die "$json->{error}: " . join(', ', @{$json->{message}}) . "\n";
    }
    die "HTTP $answer->{status}\n" unless $answer->{status} =~ /^2/;
    return $json->{data};
}

sub caught ($self, $code) { eval { $code->(); 1 } ? undef : "$@" =~ s/\n\z//r }

1;
